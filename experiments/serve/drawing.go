package serve

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"epochal/dataset"
	"epochal/dataset/regular"
	"epochal/experiments/picture"
	"epochal/experiments/record"
)

// Limits of what is drawn or uploaded.
const (
	maxSide = 1024     // width or height of a drawing, in pixels
	maxFile = 32 << 20 // bytes of an image file
)

// Answer is what the network says to a drawing.
type Answer struct {
	Class         int         `json:"class"`
	Name          string      `json:"name"`
	Probabilities []float32   `json:"probabilities"` // of every class
	Seen          []byte      `json:"seen"`          // [rows*columns] as the network sees it, base64 in JSON
	Activations   [][]float32 `json:"activations"`   // of every hidden layer
}

// Saved says where a drawing is kept.
type Saved struct {
	File  string `json:"file"`  // the drawing as PNG
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
	image image.Image
	seen  []byte
}

func (s *Server) classify(w http.ResponseWriter, r *http.Request) {
	n, d, err := s.read(w, r)
	if err != nil {
		refuse(w, err.status, err)
		return
	}
	probabilities, activations := n.forward.Run(d.seen)
	class := slices.Index(probabilities, slices.Max(probabilities))
	answerJSON(w, http.StatusOK, Answer{class, n.description.ClassName(class), probabilities, d.seen, activations})
}

func (s *Server) save(w http.ResponseWriter, r *http.Request) {
	n, d, failed := s.read(w, r)
	if failed != nil {
		refuse(w, failed.status, failed)
		return
	}
	task := n.description.Architecture.Task()
	label, err := strconv.Atoi(r.URL.Query().Get("label"))
	if err != nil || label < 0 || label >= min(task.Classes, dataset.MaxClasses) {
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
	s.saving.Lock()
	defer s.saving.Unlock()
	var file bytes.Buffer
	if err := png.Encode(&file, d.image); err != nil {
		return saved, err
	}
	folder, now := s.options.Save, s.options.Now()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return saved, err
	}
	lock, err := record.LockFolder(folder, now) // another server may save to the same folder
	if err != nil {
		return saved, err
	}
	defer lock.Close()
	saved.Train, saved.Test, err = dataset.Append(folder, d.seen, rows, columns, byte(label))
	if err != nil {
		return saved, err
	}
	saved.File = filepath.Join(folder, fmt.Sprintf("%d_%s.png", label, now.Format("2006-01-02_15-04-05.000")))
	return saved, regular.Write(saved.File, file.Bytes())
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
		s.files.Lock() // one after another: a picture may take a hundred times the memory of its file
		defer s.files.Unlock()
		if d.image, _, err = picture.Decode(bytes.NewReader(body), "image"); err != nil {
			return nil, drawn{}, &failure{http.StatusUnsupportedMediaType, err}
		}
	}
	task := n.description.Architecture.Task()
	if d.seen, err = picture.Prepare(d.image, task.Rows, task.Columns); err != nil {
		return nil, drawn{}, &failure{http.StatusUnprocessableEntity, err}
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
