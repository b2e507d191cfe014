package serve

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/train"
	"epochal/experiments/trained"
	"epochal/model"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What the browser tests are told by the environment.
const (
	requireChromium = "EPOCHAL_REQUIRE_CHROMIUM" // 1: fail where they would be skipped
	screenshots     = "EPOCHAL_SCREENSHOTS"      // folder for pictures of the page
)

// browser is a browser for all tests, each of which has a tab of its own. It is an
// error where there is none.
var browser = sync.OnceValues(func() (context.Context, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, errors.New("found no chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("disable-dev-shm-usage", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	closeBrowser = end
	return ctx, chromedp.Do(ctx)
})

// closeBrowser ends the browser and waits until it has.
var closeBrowser = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	closeBrowser()
	os.Exit(code)
}

// browse opens a tab of that width. The test is skipped where there is no browser.
func browse(t *testing.T, width int64) context.Context {
	t.Helper()
	parent, err := browser()
	if err != nil {
		if os.Getenv(requireChromium) == "1" {
			t.Fatalf("a browser, which %s=1 requires: %v", requireChromium, err)
		}
		t.Skipf("needs a browser: %v", err)
	}
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	viewport := chromedp.EmulateViewport(width, 900)
	if width < finger {
		viewport = chromedp.EmulateViewport(width, 800, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	do(t, ctx, viewport)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// finger is the width of a page from which on it is drawn on with the mouse.
const finger = 600

func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// evaluate is the value of an expression on the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits until an expression on the page is true.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	for !evaluate[bool](t, ctx, expression) {
		time.Sleep(5 * time.Millisecond) // the context ends it
	}
}

// call sends a command to the browser.
func call[P, R any](t *testing.T, ctx context.Context, command cdp.Command[P, R], parameters P) {
	t.Helper()
	if _, err := chromedp.Call(ctx, command, parameters); err != nil {
		t.Fatal(err)
	}
}

// quick is a network that was trained for a moment, once for all tests.
var quick = sync.OnceValues(func() (trained.Network, error) {
	folder, err := os.MkdirTemp("", "epochal-serve-*")
	if err != nil {
		return trained.Network{}, err
	}
	defer os.RemoveAll(folder)
	c := Quick()
	result, err := train.Run(context.Background(), c, train.Options{Folder: filepath.Join(folder, "run")})
	if err != nil {
		return trained.Network{}, err
	}
	return trained.Open(result.Folder, model.Hints{})
})

// ellipse is a closed line around the middle of a square of side 1.
func ellipse(width, height float64) (line [][2]float64) {
	for i := range 21 {
		angle := 2*math.Pi*float64(i)/20 - math.Pi/2
		line = append(line, [2]float64{.5 + width/2*math.Cos(angle), .5 + height/2*math.Sin(angle)})
	}
	return line
}

// between is a line through points.
func between(points ...[2]float64) (line [][2]float64) {
	for i, to := range points[1:] {
		from := points[i]
		for step := range 8 {
			share := float64(step) / 7
			line = append(line, [2]float64{from[0] + share*(to[0]-from[0]), from[1] + share*(to[1]-from[1])})
		}
	}
	return line
}

// digits are drawings in a square of side 1, by what they show.
var digits = map[string][][2]float64{
	"0": ellipse(.45, .66),
	"1": between([2]float64{.53, .17}, [2]float64{.49, .83}),
	"7": between([2]float64{.3, .22}, [2]float64{.7, .22}, [2]float64{.45, .84}),
}

// draw draws a line with the mouse, or on a narrow page with a finger.
func draw(t *testing.T, ctx context.Context, line [][2]float64) {
	t.Helper()
	type rectangle struct{ X, Y, Width, Height float64 }
	box := evaluate[rectangle](t, ctx, `drawing.scrollIntoView(), JSON.parse(JSON.stringify(drawing.getBoundingClientRect()))`)
	touch := evaluate[bool](t, ctx, fmt.Sprintf(`innerWidth < %d`, finger))
	for i, point := range append(line, line[len(line)-1]) {
		x, y := box.X+point[0]*box.Width, box.Y+point[1]*box.Height
		mouse, fingers := chromedp.MouseMoved, input.DispatchTouchEventParams{
			Type: input.DispatchTouchEventTypeTouchMove, TouchPoints: []*input.TouchPoint{{X: x, Y: y}},
		}
		switch i {
		case 0:
			mouse, fingers.Type = chromedp.MousePressed, input.DispatchTouchEventTypeTouchStart
		case len(line):
			mouse, fingers.Type, fingers.TouchPoints = chromedp.MouseReleased, input.DispatchTouchEventTypeTouchEnd, []*input.TouchPoint{}
		}
		if touch {
			call(t, ctx, input.DispatchTouchEvent, fingers)
		} else {
			do(t, ctx, chromedp.MouseEvent(mouse, x, y, chromedp.ButtonLeft))
		}
	}
}

// shoot keeps pictures of the whole page, where they are asked for.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv(screenshots)
	if folder == "" {
		return
	}
	for _, scheme := range []string{"dark", "light"} {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		call(t, ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		time.Sleep(200 * time.Millisecond)
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err == nil && strings.HasSuffix(name, "-full") {
			picture, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name+"-"+scheme+".png"), picture, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// answered waits until the page says that it is this class.
func answered(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		found, err := chromedp.Run(short, chromedp.TextContent("#name"))
		if found == name {
			return
		}
		if err != nil {
			t.Fatalf("found the answer %q and the problem %q, expected %s",
				evaluate[string](t, ctx, `document.getElementById("answer").textContent`),
				evaluate[string](t, ctx, `document.getElementById("problem").textContent`), name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// watch collects what the page complains about: an error, or what its policy forbids.
const watch = `window.complaints = [];
addEventListener("error", (e) => complaints.push(e.message));
addEventListener("unhandledrejection", (e) => complaints.push(String(e.reason)));
addEventListener("securitypolicyviolation", (e) => complaints.push(e.violatedDirective + " " + e.blockedURI));`

// A 0, a 1 and a 7 are recognized, drawn with the mouse on a wide page and with a
// finger on a narrow one; a drawing is saved with its label.
func TestDrawnDigitsAreRecognized(t *testing.T) {
	for _, width := range []int64{1280, 390} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			ctx := browse(t, width)
			network, err := quick()
			if err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(t.TempDir(), "drawings")
			_, url := start(t, &network, folder)
			call(t, ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
			do(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible("#bars li"))
			shoot(t, ctx, fmt.Sprintf("%d-empty", width))
			for _, name := range []string{"0", "1", "7"} {
				draw(t, ctx, digits[name])
				answered(t, ctx, name)
				shoot(t, ctx, fmt.Sprintf("%d-%s", width, name))
				do(t, ctx, chromedp.SetValue("#label", name), chromedp.Click("#save"))
				until(t, ctx, `saved.textContent.startsWith("Saved as ")`)
				do(t, ctx, chromedp.Click("#clear"))
				answered(t, ctx, "?")
			}
			do(t, ctx, chromedp.EmulateViewport(320, 800)) // the narrowest
			wide := evaluate[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`)
			shoot(t, ctx, "320")
			if complaints := evaluate[[]string](t, ctx, `complaints`); wide || len(complaints) > 0 {
				t.Errorf("found a page that is too wide (%v), and the complaints %q", wide, complaints)
			}
			d, err := dataset.Read(folder, dataset.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if found := fmt.Sprint(d.Train.Labels, d.Test.Labels); found != "[0 7] [1]" {
				t.Errorf("found the labels %s", found)
			}
		})
	}
}

// Classes have their names, of any length and with anything in them, on a wide page and on
// the narrowest; a drawing is saved with a label that is chosen by name.
func TestNamesOnThePage(t *testing.T) {
	for _, width := range []int64{1280, 320} {
		ctx := browse(t, width)
		network := untrained(16)
		network.Description.ClassNames = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
			"<img src=x onerror=alert(1)>", "\x1b[2J\u202ebag", "Sneaker", strings.Repeat("W", 255), "Ankle boot"}
		folder := filepath.Join(t.TempDir(), "drawings")
		_, url := start(t, &network, folder)
		call(t, ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
		do(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible("#bars li"))
		draw(t, ctx, digits["7"])
		until(t, ctx, `document.getElementById("name").textContent !== "?"`)
		shoot(t, ctx, fmt.Sprintf("%d-names", width))
		found := evaluate[[]string](t, ctx, `[...document.querySelectorAll("#bars li")].map((row) => row.firstChild.textContent)`)
		if found[5] != network.Description.ClassNames[5] || found[6] != "\ufffd[2J\ufffdbag" || found[9] != "Ankle boot" {
			t.Errorf("found the names %q", found)
		}
		const starts = `new Set([...document.querySelectorAll("#bars .track")].map((bar) => bar.getBoundingClientRect().left)).size`
		if found := evaluate[int](t, ctx, starts); found != 1 {
			t.Errorf("found bars that begin at %d places, expected one", found)
		}
		// A label in focus is the user's: an answer that comes late does not change it.
		const select9 = `(() => { const label = document.getElementById("label"); label.focus();
			label.value = [...label.options].find((option) => option.text === "Ankle boot").value; return true })()`
		evaluate[bool](t, ctx, select9)
		do(t, ctx, chromedp.Click("#save"))
		until(t, ctx, `saved.textContent.startsWith("Saved as ")`)
		d, err := dataset.Read(folder, dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Train.Labels[0] != 9 {
			t.Errorf("found the label %d, expected 9", d.Train.Labels[0])
		}
		wide := evaluate[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`)
		if complaints := evaluate[[]string](t, ctx, `complaints`); wide || len(complaints) > 0 {
			t.Errorf("found a page of %d pixels that is too wide (%v), and the complaints %q", width, wide, complaints)
		}
	}
}

// Everything can be done with the keys alone, and the answer is spoken.
func TestKeysDraw(t *testing.T) {
	ctx := browse(t, 800)
	network, err := quick()
	if err != nil {
		t.Fatal(err)
	}
	_, url := start(t, &network, t.TempDir())
	var reached []string
	do(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible("#bars li"), chromedp.Focus("#drawing"))
	key := func(name string, times int) {
		t.Helper()
		for range times {
			do(t, ctx, chromedp.KeyEvent(name))
		}
	}
	key(kb.ArrowUp, 9)
	key(" ", 1)
	key(kb.ArrowDown, 18)
	key(" ", 1)
	answered(t, ctx, "1")
	until(t, ctx, `spoken.textContent.startsWith("1, ")`)
	shoot(t, ctx, "keys")
	for range 7 {
		key(kb.Tab, 1)
		reached = append(reached, evaluate[string](t, ctx, `document.activeElement.id`))
	}
	if found, want := strings.Join(reached, " "), "undo clear width label save open download"; found != want {
		t.Errorf("found the order %q, expected %q", found, want)
	}
	do(t, ctx, chromedp.Focus("#drawing"))
	key(kb.Delete, 1)
	answered(t, ctx, "?")
}

// The page shows the curve of a training, and then answers.
func TestTrainingIsShown(t *testing.T) {
	for _, width := range []int64{1280, 390} {
		ctx := browse(t, width)
		s, url := start(t, nil, "drawings")
		do(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible("#training"))
		c := Quick()
		s.training.observe(c, experiments.RunStarted{Train: 60_000})
		for step := range 2500 {
			s.training.observe(c, experiments.StepsDone{Losses: []float32{2.3 / (1 + float32(step)/200)}})
			if step == 1874 {
				s.training.observe(c, experiments.EpochDone{Metrics: experiments.EpochMetrics{TestAccuracy: 0.951}})
			}
		}
		until(t, ctx, `document.querySelector("#curve .loss")?.points?.length === 100`)
		until(t, ctx, `progress.textContent === "1 of 3 epochs; 95.1% of the test set are recognized"`)
		draw(t, ctx, digits["7"])
		shoot(t, ctx, fmt.Sprintf("%d-training", width))
		n := untrained(512, 512)
		s.Use(n)
		until(t, ctx, `document.querySelectorAll("#pictures canvas").length === 3`)
		shoot(t, ctx, fmt.Sprintf("%d-trained", width))
	}
}

// An image file is opened, or dropped on the page, and drawn on.
func TestImageFilesAreOpened(t *testing.T) {
	ctx := browse(t, 1280)
	network, err := quick()
	if err != nil {
		t.Fatal(err)
	}
	_, url := start(t, &network, t.TempDir())
	name := filepath.Join(t.TempDir(), "one.png")
	if err := os.WriteFile(name, asPNG(t, drawing(1)), 0o644); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, chromedp.Navigate(url), chromedp.WaitVisible("#bars li"), chromedp.SetUploadFiles("#open", []string{name}))
	answered(t, ctx, "1")
	shoot(t, ctx, "opened")
	do(t, ctx, chromedp.Click("#undo"))
	answered(t, ctx, "?")
	drop := func(content string) {
		t.Helper()
		evaluate[bool](t, ctx, `{ const files = new DataTransfer(); files.items.add(new File([`+content+`], "x.png"));
			document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true})) || true }`)
	}
	drop(fmt.Sprintf("Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))", base64.StdEncoding.EncodeToString(animated(t))))
	until(t, ctx, `note.textContent === "This is an animated GIF, of which only the first image is used."`)
	drop(`"no image"`)
	until(t, ctx, `note.hidden`)
	until(t, ctx, `problem.textContent === "image: found no image, expected PNG, JPEG, GIF, BMP or WebP"`)
	shoot(t, ctx, "problem")
	drop(fmt.Sprintf("Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))", base64.StdEncoding.EncodeToString(asPNG(t, drawing(1)))))
	answered(t, ctx, "1")
}
