package serve

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"epochal/experiments/trained"
	"epochal/model"
)

// How long a request may take and how long its headers may be. A client that sends its
// bytes one by one is cut off.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 15 * time.Second
	idleTimeout   = time.Minute
	endTimeout    = 2 * time.Second // for the requests under way when the server ends
	lockTimeout   = time.Second     // for another server that saves to the same folder
	maxHeader     = 16 << 10        // bytes
)

// Options are the surroundings of a Server.
type Options struct {
	Save string            // folder of the drawings that are saved; made with the first
	Warn func(text string) // told what goes wrong inside the server; may be nil
	Now  func() time.Time  // time.Now when nil
}

// Server answers the draw page. It may be used by any number of people at once: they
// share the network and the folder of saved drawings, nothing else.
type Server struct {
	options  Options
	network  atomic.Pointer[network]
	training training
	saving   sync.Mutex
	files    chan struct{} // has one for each image file in memory
}

// network is what answers.
type network struct {
	trained.Network
	forward *model.Forward
}

// New returns a server that has no network yet.
func New(o Options) *Server {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{options: o, files: make(chan struct{}, maxFiles)}
}

// Use makes n the network that answers.
func (s *Server) Use(n trained.Network) {
	s.network.Store(&network{n, model.NewForward(n.Description, n.Weights)})
}

// Serve answers on l until ctx ends, which is no error.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(hosts(l.Addr())),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: 2 * bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       log.New(warner(s.options.Warn), "", 0),
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		if err := server.Shutdown(patience); err != nil {
			server.Close()
		}
		ended <- nil
	})
	err := server.Serve(l)
	if stop() {
		return err
	}
	return <-ended
}

// warner passes on what net/http logs: a handler that panicked, mostly.
type warner func(string)

func (w warner) Write(line []byte) (int, error) {
	w(strings.TrimSpace(string(line)))
	return len(line), nil
}

// hosts are the Host headers of requests to a server at that address: its own, and the
// names of this machine as far as the server answers to them. A page of another site
// that makes its own name point here has that name in its requests.
func hosts(address net.Addr) []string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return nil
	}
	names := []string{tcp.IP.String()}
	if tcp.IP.IsLoopback() || tcp.IP.IsUnspecified() {
		names = append(names, "localhost", "127.0.0.1", "::1")
	}
	if tcp.IP.IsUnspecified() {
		addresses, _ := net.InterfaceAddrs() // what is not known is not allowed
		for _, address := range addresses {
			if network, ok := address.(*net.IPNet); ok {
				names = append(names, network.IP.String())
			}
		}
		if name, err := os.Hostname(); err == nil {
			names = append(names, strings.ToLower(name))
		}
	}
	var allowed []string
	for _, name := range names {
		allowed = append(allowed, net.JoinHostPort(name, strconv.Itoa(tcp.Port)))
		if tcp.Port == 80 {
			allowed = append(allowed, strings.TrimSuffix(net.JoinHostPort(name, ""), ":"))
		}
	}
	return allowed
}

//go:embed page
var pages embed.FS

// handler answers requests whose Host header is one of hosts.
func (s *Server) handler(hosts []string) http.Handler {
	page, err := fs.Sub(pages, "page")
	if err != nil {
		panic(err) // the name is valid
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET /state", s.state)
	for path, answer := range map[string]http.HandlerFunc{"/classify": s.classify, "/save": s.save} {
		mux.HandleFunc("POST "+path, s.limited(answer))
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { // "GET /" would look for a file
			w.Header().Set("Allow", "POST")
			refuse(w, http.StatusMethodNotAllowed, errors.New("method: found GET, expected POST"))
		})
	}
	protected := http.NewCrossOriginProtection().Handler(mux)
	allowed := map[string]bool{}
	for _, host := range hosts {
		allowed[host] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		if !allowed[strings.ToLower(r.Host)] {
			refuse(w, http.StatusForbidden, fmt.Errorf("host: found %.100q, expected the address that the server printed", r.Host))
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// answerJSON writes value with a status.
func answerJSON(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil { // weights so large that an answer is no number
		status, text = http.StatusInternalServerError, []byte(`{"error":"the network's answer is not a number"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) // a client that went away needs no answer
}

// refuse answers with {"error": "why"}.
func refuse(w http.ResponseWriter, status int, err error) {
	answerJSON(w, status, map[string]string{"error": err.Error()})
}
