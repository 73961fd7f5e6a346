package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/engine"
)

const (
	maxBody     = 1 << 20          // of a request, in bytes
	maxHeader   = 8 << 10          // likewise
	readTimeout = 10 * time.Second // for a request to arrive
)

// Options of a Server.
type Options struct {
	// Code gives the exit code of a failure; nil: 1.
	Code func(error) int
	// Logs are those of the process; nil: their levels cannot be changed.
	Logs Logs
	// Logger hears of requests that are refused; nil: nobody.
	Logger hclog.Logger
}

// Logs are loggers whose levels can be changed while they are used.
type Logs interface {
	SetLevel(component, level string) error
	Levels() map[string]string
}

// Server answers operators on the socket of a data directory.
type Server struct {
	directory *engine.Directory
	code      func(error) int
	logs      Logs
	logger    hclog.Logger
	socket    *socket
	http      *http.Server
	served    chan error // what Serve ended with

	closing  sync.Once
	closeErr error
}

// Start listens for operators on a data directory that this process has open
// for writing. Close must be called before the directory is closed.
func Start(d *engine.Directory, o Options) (*Server, error) {
	if !d.Writes() {
		return nil, fmt.Errorf("control socket: %w", engine.ErrReadOnly)
	}
	if o.Code == nil {
		o.Code = func(error) int { return 1 }
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	s := &Server{directory: d, code: o.Code, logs: o.Logs, logger: o.Logger.Named("control"), served: make(chan error, 1)}
	var err error
	if s.socket, err = openSocket(d.Config().Persistence.Dir); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	listener, err := s.socket.listen()
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", errors.Join(err, s.socket.close()))
	}
	s.http = &http.Server{
		Handler: s.handler(), ConnContext: withPeer,
		ReadTimeout: readTimeout, IdleTimeout: readTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(s.logger.StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}), "", 0),
	}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// Close removes the socket, waits for what is in hand, and ends. Another Close
// answers what the first did.
func (s *Server) Close() error {
	s.closing.Do(func() {
		err := s.socket.remove()
		// What is in hand is an operation of the directory, or a
		// request that readTimeout ends: no context is needed.
		err = errors.Join(err, s.http.Shutdown(context.Background()))
		if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		if err = errors.Join(err, s.socket.close()); err != nil {
			s.closeErr = fmt.Errorf("control socket: %w", err)
		}
	})
	return s.closeErr
}

// peerKey is where a connection's context keeps its peer.
type peerKey struct{}

type peer struct {
	uid uint32
	err error
}

func withPeer(ctx context.Context, conn net.Conn) context.Context {
	uid, err := peerUID(conn)
	return context.WithValue(ctx, peerKey{}, peer{uid, err})
}

// handler answers the owner's user and root.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	handle(s, mux, "/v1/levers", Operator.Pull)
	handle(s, mux, "/v1/alarm", Operator.Alarm)
	handle(s, mux, "/v1/save", Operator.Save)
	handle(s, mux, "/v1/prune", Operator.Prune)
	handle(s, mux, "/v1/restore", Operator.Restore)
	handle(s, mux, "/v1/rollback", Operator.Rollback)
	handle(s, mux, "/v1/release", Operator.Release)
	handle(s, mux, "/v1/log-level", func(_ Operator, _ context.Context, r LogLevelRequest) (*LogLevels, error) { return s.setLogLevel(r) })
	handle(s, mux, "/v1/ask", Operator.Ask)
	handle(s, mux, "/v1/decide", Operator.Decide)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusNotFound, &InputError{Reason: fmt.Sprintf("%s %q is nothing that this version answers", r.Method, r.URL.Path)})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := r.Context().Value(peerKey{}).(peer)
		switch {
		case !ok || who.err != nil:
			s.refuse(w, r, http.StatusForbidden, fmt.Errorf("who asks is not known: %w", who.err))
		case !mayAct(who.uid, uint32(os.Geteuid())):
			s.refuse(w, r, http.StatusForbidden, fmt.Errorf("%s may not look after this data directory", engine.UserName(who.uid)))
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// handle decodes requests of a path, has them done on behalf of the peer and
// encodes what came of it.
func handle[Request, Result any](s *Server, mux *http.ServeMux, path string, do func(Operator, context.Context, Request) (*Result, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var request Request
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil {
			err = json.Unmarshal(body, &request, json.RejectUnknownMembers(true))
		}
		if err != nil {
			s.refuse(w, r, http.StatusBadRequest, &InputError{Reason: fmt.Sprintf("request %s: %v", path, err)})
			return
		}
		who, _ := r.Context().Value(peerKey{}).(peer) // handler has looked
		result, err := do(NewDirect(s.directory, engine.UserName(who.uid)), r.Context(), request)
		if err != nil {
			s.refuse(w, r, http.StatusUnprocessableEntity, err)
			return
		}
		s.answer(w, http.StatusOK, result)
	})
}

// failure is what a client gets instead of a result.
type failure struct {
	Error string `json:"error"`
	Code  int    `json:"code"`
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	s.logger.Warn("refused", "request", r.URL.Path, "error", err)
	s.answer(w, status, failure{Error: err.Error(), Code: s.code(err)})
}

func (s *Server) answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.MarshalWrite(w, value); err != nil {
		s.logger.Warn("an answer did not arrive", "error", err)
	}
}
