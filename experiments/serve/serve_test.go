package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"epochal/dataset"
	"epochal/experiments/picture"
	"epochal/experiments/record"
	"epochal/experiments/trained"
	"epochal/model"
)

// untrained is a network with its first weights.
func untrained(hidden ...int) trained.Network {
	architecture := model.FullyConnected{Rows: 28, Columns: 28, Hidden: hidden, Classes: 10, Activation: model.ActivationReLU}
	return trained.Network{
		File:        "model.safetensors",
		Description: model.Description{Architecture: architecture, Normalization: model.Unnormalized()},
		Weights:     model.Initialize(architecture.Parameters(), 1),
	}
}

// start serves n on a port of its own until the test ends.
func start(t testing.TB, n *trained.Network, save string) (*Server, string) {
	t.Helper()
	s := New(Options{Save: save, Warn: func(text string) { t.Errorf("found the warning %s", text) }})
	if n != nil {
		s.Use(*n)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("found the error %v at the end, expected none", err)
		}
	})
	return s, "http://" + listener.Addr().String()
}

// drawing is a thick line from one corner towards another, as the page sends it.
func drawing(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	pixels := bytes.Repeat([]byte{255}, 280*280)
	slant := random.IntN(100)
	for y := 40; y < 240; y++ {
		for x := 100 + slant*y/280; x < 120+slant*y/280; x++ {
			pixels[y*280+x] = 0
		}
	}
	return pixels
}

// asPNG is a drawing as a file.
func asPNG(t *testing.T, pixels []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, &image.Gray{Pix: pixels, Stride: 280, Rect: image.Rect(0, 0, 280, 280)}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

const drawn280 = "width=280&height=280"

// post sends a body and returns the status and the answer.
func post(t testing.TB, url string, body io.Reader) (int, string) {
	t.Helper()
	response, err := http.Post(url, "application/octet-stream", body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func classified(t testing.TB, url string, body []byte) Answer {
	t.Helper()
	status, text := post(t, url, bytes.NewReader(body))
	var answer Answer
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("found status %d, %.200q and the error %v", status, text, err)
	}
	return answer
}

// A drawing and an image file of the same are answered alike.
func TestClassify(t *testing.T) {
	network := untrained(16, 12)
	_, url := start(t, &network, "")
	answer := classified(t, url+"/classify?"+drawn280, drawing(1))
	sum := float32(0)
	for _, share := range answer.Probabilities {
		sum += share
	}
	if len(answer.Probabilities) != 10 || sum < 0.999 || sum > 1.001 || answer.Name != fmt.Sprint(answer.Class) || len(answer.Seen) != 784 ||
		len(answer.Activations) != 2 || len(answer.Activations[0]) != 16 || len(answer.Activations[1]) != 12 {
		t.Errorf("found %+v", answer)
	}
	if other := classified(t, url+"/classify", asPNG(t, drawing(1))); fmt.Sprint(other) != fmt.Sprint(answer) {
		t.Errorf("found %+v for the file, expected %+v", other, answer)
	}
}

// What is wrong is answered with a status and one line.
// A network that saw whole pictures in training sees those of the page whole.
func TestClassifyWholePictures(t *testing.T) {
	n := untrained()
	n.Description.Whole = true
	_, url := start(t, &n, t.TempDir())
	pixels := drawing(1)
	size := image.Rect(0, 0, 280, 280)
	want := picture.Raw(&image.Gray{Pix: pixels, Stride: 280, Rect: size}, 28, 28)
	for query, body := range map[string][]byte{"?" + drawn280: pixels, "": asPNG(t, pixels)} {
		if answer := classified(t, url+"/classify"+query, body); !bytes.Equal(answer.Seen, want) {
			t.Errorf("%q: found that the network saw %v, expected the picture whole: %v", query, answer.Seen, want)
		}
	}
}

func TestRefused(t *testing.T) {
	network, folder := untrained(16), filepath.Join(t.TempDir(), "drawings")
	_, url := start(t, &network, folder)
	for _, test := range []struct {
		name, path string
		body       io.Reader
		status     int
		text       string
	}{
		{"not an image", "/classify", strings.NewReader("<html>"), 415, "image"},
		{"too many pixels in a file", "/classify", strings.NewReader("GIF89a\xff\xff\xff\xff\x00\x00\x00"), 413,
			"found 65535 by 65535 pixels, expected at most 8388608 in all"},
		{"nothing", "/classify", http.NoBody, 415, "image"},
		{"empty drawing", "/classify?" + drawn280, bytes.NewReader(bytes.Repeat([]byte{255}, 280*280)), 422, ""},
		{"too few pixels", "/classify?" + drawn280, strings.NewReader("abc"), 400, "found 3 bytes, expected 78400"},
		{"too many pixels", "/classify?" + drawn280, bytes.NewReader(make([]byte, 78401)), 413, "found more than 78400 bytes"},
		{"endless", "/classify?" + drawn280, io.MultiReader(bytes.NewReader(make([]byte, 1<<20))), 413, "found more than 78400 bytes"},
		{"no height", "/classify?width=2", strings.NewReader("abcd"), 400, `found \"\", expected 1 to 1024`},
		{"huge", "/classify?width=100000&height=100000", strings.NewReader(""), 400, `found \"100000\", expected 1 to 1024`},
		{"no label", "/save?" + drawn280, bytes.NewReader(drawing(1)), 400, `label: found \"\", expected 0 to 9`},
		{"unknown label", "/save?label=10&" + drawn280, bytes.NewReader(drawing(1)), 400, `label: found \"10\", expected 0 to 9`},
	} {
		status, text := post(t, url+test.path, test.body)
		if status != test.status || !strings.HasPrefix(text, `{"error":"`) || !strings.Contains(text, test.text) {
			t.Errorf("%s: found status %d and %q, expected %d and %q", test.name, status, text, test.status, test.text)
		}
	}
	if _, err := os.Stat(folder); err == nil {
		t.Errorf("found a folder of drawings, expected that none was saved")
	}
}

// Other methods, other hosts and pages of other sites are refused, and every answer
// has the headers that keep them out.
func TestStrangers(t *testing.T) {
	s := New(Options{})
	s.Use(untrained(4))
	handler := s.handler(hosts(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}))
	for _, test := range []struct {
		method, path, host, origin string
		status                     int
	}{
		{"GET", "/", "127.0.0.1:8080", "", 200},
		{"HEAD", "/draw.js", "localhost:8080", "", 200},
		{"GET", "/draw.css", "[::1]:8080", "", 200},
		{"GET", "/", "LocalHost:8080", "", 200},
		{"GET", "/", "", "", 403},
		{"GET", "/", "127.0.0.1", "", 403},
		{"GET", "/", "127.0.0.1:8081", "", 403},
		{"GET", "/state", "evil.example:8080", "", 403},
		{"GET", "/state", "localhost.evil.example:8080", "", 403},
		{"GET", "/page/draw.js", "localhost:8080", "", 404},
		{"GET", "/../server.go", "localhost:8080", "", 307},
		{"GET", "/classify", "localhost:8080", "", 405},
		{"HEAD", "/save", "localhost:8080", "", 405},
		{"PUT", "/classify", "localhost:8080", "", 405},
		{"POST", "/", "localhost:8080", "", 405},
		{"DELETE", "/state", "localhost:8080", "", 405},
		{"POST", "/classify?" + drawn280, "localhost:8080", "http://localhost:8080", 200},
		{"POST", "/classify?" + drawn280, "localhost:8080", "http://evil.example", 403},
		{"POST", "/save?label=1&" + drawn280, "localhost:8080", "null", 403},
	} {
		request := httptest.NewRequest(test.method, "http://x"+test.path, bytes.NewReader(drawing(1)))
		request.Host = test.host
		if test.origin != "" {
			request.Header.Set("Origin", test.origin)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != test.status {
			t.Errorf("%+v: found status %d", test, answer.Code)
		}
		policy := answer.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
			t.Errorf("%+v: found the policy %q", test, policy)
		}
	}
	all := hosts(&net.TCPAddr{IP: net.IPv4zero, Port: 80})
	if text := strings.Join(all, " "); !strings.Contains(text, "localhost:80 ") ||
		!strings.Contains(text, " localhost ") || strings.Contains(text, " :80") {
		t.Errorf("found the hosts %q", all)
	}
	if found := hosts(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 99}); fmt.Sprint(found) != "[192.0.2.7:99]" {
		t.Errorf("found the hosts %q", found)
	}
}

// A body of a gigabyte and a header without end are refused before they are read.
func TestEarly(t *testing.T) {
	network := untrained(4)
	_, url := start(t, &network, "")
	for _, test := range []struct{ name, request, status string }{
		{"1 GB body", "POST /classify HTTP/1.1\r\nHost: %s\r\nContent-Length: 1073741824\r\n\r\n", "413"},
		{"1 GB drawing", "POST /classify?" + drawn280 + " HTTP/1.1\r\nHost: %s\r\nContent-Length: 1073741824\r\n\r\n", "413"},
		{"no Host", "GET / HTTP/1.0\r\n\r\n%.0s", "403"},
		{"long header", "GET / HTTP/1.1\r\nHost: %s\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n", "431"},
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(connection, test.request, strings.TrimPrefix(url, "http://"))
		answer := make([]byte, len("HTTP/1.1 413"))
		if _, err := io.ReadFull(connection, answer); err != nil || !strings.HasSuffix(string(answer), test.status) {
			t.Errorf("%s: found %q and the error %v, expected %s", test.name, answer, err, test.status)
		}
		connection.Close()
	}
}

// Before there is a network the page can be opened and asks for it again.
func TestWithoutNetwork(t *testing.T) {
	s, url := start(t, nil, "folder")
	status, text := post(t, url+"/classify?"+drawn280, bytes.NewReader(drawing(1)))
	if status != 503 || !strings.Contains(text, "in training") {
		t.Errorf("found status %d and %q", status, text)
	}
	state := func() string {
		response, err := http.Get(url + "/state")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if found, want := state(), `{"network":null,"training":null,"save":"folder"}`+"\n"; found != want {
		t.Errorf("found %s, expected %s", found, want)
	}
	s.Use(untrained(4, 3))
	if found := state(); !strings.Contains(found, `"layers":"layers 784, 4, 3, 10"`) || !strings.Contains(found, `"accuracy":null`) {
		t.Errorf("found %s", found)
	}
}

// Whatever is sent is answered, with an answer or with what is wrong about it.
func FuzzClassify(f *testing.F) {
	s := New(Options{Warn: func(text string) { panic(text) }})
	s.Use(untrained(4))
	handler := s.handler([]string{"host"})
	f.Add("", []byte("GIF89a"))
	f.Add("width=2&height=2", []byte{0, 255, 0, 255})
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		request := httptest.NewRequest("POST", "http://host/classify", bytes.NewReader(body))
		request.URL.RawQuery = query
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if code := answer.Code; !json.Valid(answer.Body.Bytes()) || code != 200 && (code < 400 || code > 499) {
			t.Errorf("found status %d and %.200q", code, answer.Body)
		}
	})
}

// Several people draw and save at once; what they save is a dataset.
func TestSeveralAtOnce(t *testing.T) {
	network, folder := untrained(16), filepath.Join(t.TempDir(), "drawings")
	_, url := start(t, &network, folder)
	var group sync.WaitGroup
	for person := range 8 {
		group.Go(func() {
			body := drawing(uint64(person))
			first := fmt.Sprint(classified(t, url+"/classify?"+drawn280, body))
			for range 5 {
				if again := fmt.Sprint(classified(t, url+"/classify?"+drawn280, body)); again != first {
					t.Errorf("found another answer to the same drawing")
				}
			}
			for label := range 2 {
				url := fmt.Sprintf("%s/save?label=%d&%s", url, label, drawn280)
				if status, text := post(t, url, bytes.NewReader(body)); status != http.StatusOK {
					t.Errorf("found status %d and %q", status, text)
				}
			}
		})
	}
	group.Wait()
	loading, err := dataset.Open(folder, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer loading.Close()
	if count := loading.TrainCount + loading.TestCount; count != 16 {
		t.Errorf("found %d images, expected 16", count)
	}
	files, err := filepath.Glob(filepath.Join(folder, "[01]_*.png"))
	if err != nil || len(files) != 16 {
		t.Errorf("found %v, expected 16 pictures", files)
	}
}

// An image file waits until there is room for it, and drawings do not.
func TestFilesWait(t *testing.T) {
	network := untrained(4)
	s, url := start(t, &network, "")
	for range maxFiles {
		s.files <- struct{}{}
	}
	answered := make(chan bool)
	go func() {
		response, err := http.Post(url+"/classify", "", bytes.NewReader([]byte("GIF89a")))
		if err == nil {
			response.Body.Close()
		}
		answered <- err == nil
	}()
	classified(t, url+"/classify?"+drawn280, drawing(1))
	select {
	case <-answered:
		t.Errorf("found an answer to a file, expected that it waits")
	case <-time.After(50 * time.Millisecond):
		<-s.files
		if !<-answered {
			t.Errorf("found no answer to the file once there was room")
		}
	}
}

// animated is a GIF of two images.
func animated(t *testing.T) []byte {
	t.Helper()
	frame := image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.White, color.Black})
	frame.SetColorIndex(20, 15, 1)
	var file bytes.Buffer
	if err := gif.EncodeAll(&file, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{1, 1}}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// What is saved at the same time gets a number, a file is kept as it came, and an answer
// says what of it was used.
func TestSavedFiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "drawings")
	s := New(Options{Save: folder, Now: func() time.Time { return time.Unix(0, 0).UTC() }})
	s.Use(untrained(4))
	handler := s.handler([]string{"host"})
	ask := func(path string, body []byte) string {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest("POST", "http://host"+path, bytes.NewReader(body)))
		if answer.Code != http.StatusOK {
			t.Errorf("%s: found status %d and %s", path, answer.Code, answer.Body)
		}
		return answer.Body.String()
	}
	animation := animated(t)
	if text := ask("/classify", animation); !strings.Contains(text, `"note":"an animated GIF, of which only`) {
		t.Errorf("found %s, expected a note", text)
	}
	ask("/save?label=1", animation)
	if content, err := os.ReadFile(filepath.Join(folder, "1_1970-01-01_00-00-00.000.gif")); !bytes.Equal(content, animation) {
		t.Errorf("found another file and the error %v", err)
	}
	for _, want := range []string{"1_1970-01-01_00-00-00.000.png", "1_1970-01-01_00-00-00.000_2.png"} {
		ask("/save?label=1&"+drawn280, drawing(1))
		if _, err := os.Stat(filepath.Join(folder, want)); err != nil {
			t.Error(err)
		}
	}

	// No picture stays of what cannot be added.
	if err := os.WriteFile(filepath.Join(folder, "train-labels-idx1-ubyte"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("POST", "http://host/save?label=2&"+drawn280, bytes.NewReader(drawing(1))))
	if files, _ := filepath.Glob(filepath.Join(folder, "2_*")); answer.Code != 500 || len(files) != 0 {
		t.Errorf("found status %d and %v", answer.Code, files)
	}
}

// A folder to which another server saves at the moment is waited for.
func TestSaveWaitsForAnother(t *testing.T) {
	network, folder := untrained(4), t.TempDir()
	_, url := start(t, &network, folder)
	lock, err := record.LockFolder(folder, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { lock.Close() })
	if status, text := post(t, url+"/save?label=1&"+drawn280, bytes.NewReader(drawing(1))); status != 200 {
		t.Errorf("found status %d and %s", status, text)
	}
}

// Whether drawings can be saved is known before there are any, and nothing is made.
func TestCheckSave(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for save, want := range map[string]string{
		folder:                               "",
		filepath.Join(folder, "new"):         "",
		filepath.Join(folder, "new", "deep"): "",
		file:                                 file + ": found a file, expected a folder",
		filepath.Join(file, "x"):             file + ": found a file, expected a folder",
		"":                                   "found no name of a folder",
	} {
		if err := (Options{Save: save}).CheckSave(); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: found the error %v, expected %q", save, err, want)
		}
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("found %v, expected only the file", entries)
	}
}

// Where the folder cannot be written, the answer says so.
func TestSaveFails(t *testing.T) {
	network, file := untrained(4), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, url := start(t, &network, file)
	if status, text := post(t, url+"/save?label=1&"+drawn280, bytes.NewReader(drawing(1))); status != 500 || !strings.Contains(text, file) {
		t.Errorf("found status %d and %q", status, text)
	}
}

// A client that sends its bytes one by one is cut off, in its headers and in its body.
func TestSlowClientIsCutOff(t *testing.T) {
	if os.Getenv("EPOCHAL_LONG") != "1" {
		t.Skip("takes 20 seconds: EPOCHAL_LONG=1 runs it")
	}
	network := untrained(4)
	_, url := start(t, &network, "")
	host := strings.TrimPrefix(url, "http://")
	var group sync.WaitGroup
	for name, begin := range map[string]string{
		"header": "GET / HTTP/1.1\r\nHost: " + host + "\r\nX-Slow: ",
		"body":   "POST /classify HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 100000\r\n\r\n",
	} {
		group.Go(func() {
			connection, err := net.Dial("tcp", host)
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			fmt.Fprint(connection, begin)
			for range 60 { // seconds
				if _, err := connection.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
			t.Errorf("%s: found a connection that is still open after a minute", name)
		})
	}
	group.Wait()
}

// The memory does not grow with the drawings.
func TestMemoryStaysFlat(t *testing.T) {
	if os.Getenv("EPOCHAL_LONG") != "1" {
		t.Skip("takes a minute: EPOCHAL_LONG=1 runs it")
	}
	network := untrained(128)
	_, url := start(t, &network, "")
	used := func(drawings int) uint64 {
		for i := range drawings {
			classified(t, url+"/classify?"+drawn280, drawing(uint64(i)))
		}
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return memory.HeapAlloc
	}
	before := used(1000)
	if after := used(20_000); after > before+1<<20 {
		t.Errorf("found %d bytes after 20,000 drawings, expected %d as after 1,000", after, before)
	}
}

// BenchmarkDrawings measures drawings a second and the 99th percentile of the time to
// an answer: as many as there can be, and 500 a second.
func BenchmarkDrawings(b *testing.B) {
	network := untrained(512, 512)
	_, url := start(b, &network, "")
	body := drawing(1)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	draw := func() {
		response, err := client.Post(url+"/classify?"+drawn280, "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	for name, every := range map[string]time.Duration{"as many as possible": 0, "500 a second": 2 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			times := make([]time.Duration, b.N)
			limit := make(chan struct{}, 64)
			if every == 0 {
				limit = make(chan struct{}, 4)
			}
			var group sync.WaitGroup
			begin := time.Now()
			for i := range b.N {
				due := begin.Add(time.Duration(i) * every) // a late request counts from when it was due
				time.Sleep(time.Until(due))
				limit <- struct{}{}
				if every == 0 {
					due = time.Now()
				}
				group.Go(func() {
					draw()
					times[i] = time.Since(due)
					<-limit
				})
			}
			group.Wait()
			seconds := time.Since(begin).Seconds()
			slices.Sort(times)
			b.ReportMetric(float64(b.N)/seconds, "drawings/s")
			b.ReportMetric(times[b.N/2].Seconds()*1e3, "ms-median")
			b.ReportMetric(times[b.N*99/100].Seconds()*1e3, "ms-p99")
		})
	}
}
