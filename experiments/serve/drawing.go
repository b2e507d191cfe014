package serve

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments/picture"
	"epochal/experiments/record"
)

// Limits of what is drawn or uploaded.
const (
	maxSide   = 1024    // width or height of a drawing, in pixels
	maxFile   = 8 << 20 // bytes of an image file
	maxPixels = 8 << 20 // of an image file
	maxFiles  = 2       // image files in memory at once
)

// Answer is what the network says to a drawing.
type Answer struct {
	Class         int         `json:"class"`
	Name          string      `json:"name"`
	Probabilities []float32   `json:"probabilities"` // of every class
	Seen          []byte      `json:"seen"`          // [rows*columns] as the network sees it, base64 in JSON
	Activations   [][]float32 `json:"activations"`   // of every hidden layer
	Note          string      `json:"note"`          // on how an image file was read
}

// Saved says where a drawing is kept.
type Saved struct {
	File  string `json:"file"`  // the drawing as PNG, or the image file as it came
	Train int    `json:"train"` // images in the folder's train set
	Test  int    `json:"test"`  // images in its test set
}

// failure is an error with the status that it is answered with.
type failure struct {
	status int
	error
}

// drawn is a drawing or an image file, and what the network sees of it.
type drawn struct {
	image  image.Image // nil for a file
	file   []byte      // nil for a drawing
	format string      // of the file: png, jpeg, ...
	note   string      // [picture.Decode]'s
	seen   []byte
}

// limited lets a few image files in at once: each takes memory from its first byte to
// the answer. Drawings are small.
func (s *Server) limited(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("width") {
			s.files <- struct{}{}
			defer func() { <-s.files }()
		}
		answer(w, r)
	}
}

func (s *Server) classify(w http.ResponseWriter, r *http.Request) {
	n, d, err := s.read(w, r)
	if err != nil {
		refuse(w, err.status, err)
		return
	}
	probabilities, activations := n.forward.Run(d.seen)
	if err := n.CheckOutput(float64(probabilities[0])); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	class := slices.Index(probabilities, slices.Max(probabilities))
	answerJSON(w, http.StatusOK, Answer{class, n.Description.ClassName(class), probabilities, d.seen, activations, d.note})
}

func (s *Server) save(w http.ResponseWriter, r *http.Request) {
	n, d, failed := s.read(w, r)
	if failed != nil {
		refuse(w, failed.status, failed)
		return
	}
	task := n.Description.Architecture.Task()
	label, err := strconv.Atoi(r.URL.Query().Get("label"))
	if err != nil || label < 0 || label >= task.Classes {
		refuse(w, http.StatusBadRequest, fmt.Errorf("label: found %q, expected 0 to %d", r.URL.Query().Get("label"), task.Classes-1))
		return
	}
	saved, err := s.keep(d, task.Rows, task.Columns, label)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answerJSON(w, http.StatusOK, saved)
}

// keep adds a drawing to the folder of the options.
func (s *Server) keep(d drawn, rows, columns, label int) (saved Saved, err error) {
	if d.file == nil {
		var file bytes.Buffer
		if err := png.Encode(&file, d.image); err != nil {
			return saved, err
		}
		d.file, d.format = file.Bytes(), "png"
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	folder, now := s.options.Save, s.options.Now()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return saved, err
	}
	lock, err := lockFolder(folder, now)
	if err != nil {
		return saved, err
	}
	defer lock.Close()
	if lock.Warning != "" {
		s.options.Warn(lock.Warning)
	}
	// The picture first: an image in the set without one could not be looked at.
	name := filepath.Join(folder, fmt.Sprintf("%d_%s", label, now.Format("2006-01-02_15-04-05.000")))
	saved.File = name + "." + d.format
	for number := 2; exists(saved.File); number++ {
		saved.File = fmt.Sprintf("%s_%d.%s", name, number, d.format)
	}
	if err := regular.Write(saved.File, d.file); err != nil {
		return saved, err
	}
	saved.Train, saved.Test, err = dataset.Append(folder, d.seen, rows, columns, byte(label))
	if err != nil {
		err = errors.Join(err, os.Remove(saved.File))
	}
	return saved, err
}

// CheckSave returns the error that saving would meet in the folder of the options, as
// far as it can be known before. It leaves nothing behind.
func (o Options) CheckSave() error {
	if o.Save == "" {
		return errors.New("found no name of a folder")
	}
	file := filepath.Join(o.Save, record.LockFile) // or else the first folder that is to be made
	for {
		folder := filepath.Dir(file)
		info, err := os.Stat(folder)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s: found a file, expected a folder", folder)
		case err == nil:
			return regular.CanWrite(file)
		case folder == filepath.Dir(folder) || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return err
		}
		file = folder
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// lockFolder waits a little where another server saves to the same folder.
func lockFolder(folder string, now time.Time) (*record.Lock, error) {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockTimeout / 100) {
		lock, err := record.LockFolder(folder, now)
		if _, busy := errors.AsType[record.Busy](err); !busy || time.Now().After(end) {
			return lock, err
		}
	}
}

// read reads a request's drawing, or its image file where it has no width.
func (s *Server) read(w http.ResponseWriter, r *http.Request) (*network, drawn, *failure) {
	n := s.network.Load()
	if n == nil {
		return nil, drawn{}, &failure{http.StatusServiceUnavailable, errors.New("the network is still in training")}
	}
	query := r.URL.Query()
	limit, width, height := int64(maxFile), 0, 0
	if query.Has("width") {
		var widthErr, heightErr error
		width, widthErr = side(query.Get("width"))
		height, heightErr = side(query.Get("height"))
		if err := errors.Join(widthErr, heightErr); err != nil {
			return nil, drawn{}, &failure{http.StatusBadRequest, err}
		}
		limit = int64(width * height)
	}
	if r.ContentLength > limit { // before any of it is read
		return nil, drawn{}, tooLarge(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, drawn{}, tooLarge(limit)
	} else if err != nil {
		return nil, drawn{}, &failure{http.StatusBadRequest, err}
	}

	var d drawn
	if width > 0 {
		if len(body) < width*height {
			return nil, drawn{}, &failure{http.StatusBadRequest,
				fmt.Errorf("drawing: found %d bytes, expected %d for %dx%d pixels", len(body), width*height, width, height)}
		}
		d.image = &image.Gray{Pix: body, Stride: width, Rect: image.Rect(0, 0, width, height)}
	} else {
		config, format, err := image.DecodeConfig(bytes.NewReader(body))
		if err == nil && int64(config.Width)*int64(config.Height) > maxPixels { // at most 8 bytes each, and 4 copies
			return nil, drawn{}, &failure{http.StatusRequestEntityTooLarge,
				fmt.Errorf("image: found %d by %d pixels, expected at most %d in all", config.Width, config.Height, maxPixels)}
		}
		d.file, d.format = body, format
		if d.image, d.note, err = picture.Decode(bytes.NewReader(body), "image"); err != nil {
			return nil, drawn{}, &failure{http.StatusUnsupportedMediaType, err}
		}
	}
	task := n.Description.Architecture.Task()
	reading := picture.Reading{Rows: task.Rows, Columns: task.Columns, Raw: n.Description.Whole}
	if d.seen, err = reading.Image(d.image); err != nil {
		return nil, drawn{}, &failure{http.StatusUnprocessableEntity, err}
	}
	if d.file != nil {
		d.image = nil // the file is enough to save
	}
	return n, d, nil
}

// side reads the width or height of a drawing.
func side(text string) (int, error) {
	value, err := strconv.Atoi(text)
	if err != nil || value < 1 || value > maxSide {
		return 0, fmt.Errorf("width and height: found %q, expected 1 to %d", text, maxSide)
	}
	return value, nil
}

func tooLarge(limit int64) *failure {
	return &failure{http.StatusRequestEntityTooLarge, fmt.Errorf("found more than %d bytes, expected no more than that", limit)}
}
