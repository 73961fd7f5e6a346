package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/fdqc-cockpit/fdqc/engine"
)

func TestMain(m *testing.M) {
	// Keys are made here, not in the home of whoever runs the tests.
	home, err := os.MkdirTemp("", "fdqc-control-*")
	if err == nil {
		err = os.Setenv("XDG_CONFIG_HOME", home)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(goleak.Find(), os.RemoveAll(home)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func settings(t *testing.T) engine.Config {
	config := engine.DefaultConfig()
	config.Persistence.Dir = filepath.Join(t.TempDir(), "data")
	config.Persistence.AutoSaveInterval = 0
	config.Safety.SafeMode, config.Safety.RequireHumanApproval = false, false
	return config
}

// owner opens a directory for writing until the test ends.
func owner(t *testing.T, config engine.Config) *engine.Directory {
	t.Helper()
	d, err := engine.OpenDirectory(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// serve answers operators on a directory until the test ends.
func serve(t *testing.T, d *engine.Directory, o Options) *Server {
	t.Helper()
	s, err := Start(d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestOperators asks the owner through its socket, and the directory itself:
// both do the same, and it is durable.
func TestOperators(t *testing.T) {
	for _, name := range []string{"client", "direct"} {
		t.Run(name, func(t *testing.T) {
			config := settings(t)
			d := owner(t, config)
			me := engine.UserName(uint32(os.Geteuid()))
			var o Operator = NewDirect(d, me)
			if name == "client" {
				serve(t, d, Options{})
				o = NewClient(config.Persistence.Dir)
			}
			ctx := t.Context()
			tier, on := "BETA", true
			s, err := o.Pull(ctx, PullRequest{Tier: &tier, SafeMode: &on, Reason: "odd"})
			if err != nil {
				t.Fatal(err)
			}
			want := Settings{Tier: "BETA", SafeMode: true}
			if s.InForce != want || s.Configured.Tier != "GAMMA" || s.Levers.By != me || s.Levers.Reason != "odd" || s.Levers.At.IsZero() {
				t.Errorf("pull: got %+v, want in force %+v, by %s and why", s, want, me)
			}
			if l := d.Levers(); l.Tier != "BETA" || !l.SafeMode || l.RequireHumanApproval {
				t.Errorf("the owner has the levers %+v", l)
			}
			if _, err := o.Alarm(ctx, AlarmRequest{}); err == nil {
				t.Error("an alarm without a cause: got no error")
			}
			ask := engine.Ask{Row: "x", Action: "git push", Workspace: make([]float32, config.Safety.WorkspaceDim)}
			asked, err := o.Ask(ctx, AskRequest{Asks: []engine.Ask{ask, {Row: "bad"}}})
			if err != nil || len(asked.Answers) != 2 || asked.Answers[0] != (engine.Asked{ID: 1, State: engine.Pending}) || asked.Answers[1].Refused == "" {
				t.Fatalf("ask: got %+v, %v, want the first one to wait as 1", asked, err)
			}
			decided, err := o.Decide(ctx, DecideRequest{IDs: []int64{1}, Approve: true, Reason: "fine"})
			if err != nil || decided.Left != 0 || decided.Approvals[0].State != engine.Approved || decided.Approvals[0].Decision.By != me || decided.Approvals[0].AskedBy != me {
				t.Errorf("decide: got %+v, %v, want it approved by %s", decided, err, me)
			}
			if _, err := o.Decide(ctx, DecideRequest{IDs: []int64{1}}); err == nil || !strings.Contains(err.Error(), "approved already") {
				t.Errorf("decide again: got %v", err)
			}
			for i := range 3 {
				c, err := o.Save(ctx, SaveRequest{})
				if err != nil || c.Sequence != int64(i+2) || c.Bytes == 0 {
					t.Fatalf("save: got %+v, %v, want sequence %d", c, err, i+2)
				}
				if _, err := os.Stat(c.Path); err != nil {
					t.Errorf("save: %v", err)
				}
			}
			r, err := o.Rollback(ctx, RollbackRequest{Reason: "poisoned"})
			if err != nil || r.Checkpoint.Sequence != 5 || !r.Safety.InForce.SafeMode || !r.Safety.InForce.RequireHumanApproval || !strings.Contains(r.Safety.Levers.Reason, "poisoned") {
				t.Errorf("rollback: got %+v, %v, want checkpoint 5 with safe mode and human approval", r, err)
			}
			off := false
			if _, err := o.Pull(ctx, PullRequest{SafeMode: &off}); err == nil || !strings.Contains(err.Error(), "safe mode stays on: rollback: poisoned") {
				t.Errorf("safe mode off right after a rollback: got %v, want it refused", err)
			}
			r, err = o.Restore(ctx, RestoreRequest{Sequence: 2})
			if err != nil || r.Checkpoint.Sequence != 6 || !strings.HasPrefix(r.From, config.Persistence.Dir) {
				t.Errorf("restore: got %+v, %v, want checkpoint 6", r, err)
			}
			if r, err = o.Restore(ctx, RestoreRequest{File: r.Checkpoint.Path}); err != nil || r.Checkpoint.Sequence != 7 {
				t.Errorf("restore of a file: got %+v, %v, want checkpoint 7", r, err)
			}
			if s, err := o.Alarm(ctx, AlarmRequest{Cause: "critical alert"}); err != nil || !s.InForce.SafeMode || s.Levers.Stage != "alarmed" || s.Next == nil {
				t.Errorf("alarm: got %+v, %v, want safe mode, and what comes next", s, err)
			}
			p, err := o.Prune(ctx, PruneRequest{Keep: 2})
			if err != nil || len(p.Removed) != 6 {
				t.Errorf("prune: got %+v, %v, want 6 of 8 gone", p, err)
			}
			reader, err := engine.OpenDirectory(config, engine.ReadOnly())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprint(reader.Levers()), fmt.Sprint(d.Levers()); got != want {
				t.Errorf("on the disk: got levers %s, want %s", got, want)
			}
			if err := reader.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRefusals asks what cannot be meant: nothing is done.
func TestRefusals(t *testing.T) {
	config := settings(t)
	d := owner(t, config)
	serve(t, d, Options{Code: func(err error) int {
		var input *InputError
		if errors.As(err, &input) {
			return 2
		}
		return 7
	}})
	before := d.Levers()
	tier := "SIGMA"
	for name, ask := range map[string]func(context.Context, Operator) error{
		"no lever": func(ctx context.Context, o Operator) error { _, err := o.Pull(ctx, PullRequest{}); return err },
		"unknown tier": func(ctx context.Context, o Operator) error {
			_, err := o.Pull(ctx, PullRequest{Tier: &tier})
			return err
		},
		"long reason": func(ctx context.Context, o Operator) error {
			_, err := o.Rollback(ctx, RollbackRequest{Reason: strings.Repeat("x", 1001)})
			return err
		},
		"negative rollback": func(ctx context.Context, o Operator) error {
			_, err := o.Rollback(ctx, RollbackRequest{To: -1})
			return err
		},
		"keep nothing":    func(ctx context.Context, o Operator) error { _, err := o.Prune(ctx, PruneRequest{}); return err },
		"restore nothing": func(ctx context.Context, o Operator) error { _, err := o.Restore(ctx, RestoreRequest{}); return err },
		"restore both": func(ctx context.Context, o Operator) error {
			_, err := o.Restore(ctx, RestoreRequest{Sequence: 1, File: "/x"})
			return err
		},
		"relative file": func(ctx context.Context, o Operator) error {
			_, err := o.Restore(ctx, RestoreRequest{File: "../x.pt"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var input *InputError
			if err := ask(t.Context(), NewDirect(d, "me")); !errors.As(err, &input) {
				t.Errorf("direct: got %v, want an InputError", err)
			}
			var remote *RemoteError
			if err := ask(t.Context(), NewClient(config.Persistence.Dir)); !errors.As(err, &remote) || remote.Code != 2 || remote.Message == "" {
				t.Errorf("client: got %#v, want the owner's sentence and code 2", err)
			}
		})
	}
	t.Run("a failure of the owner", func(t *testing.T) {
		_, err := NewClient(config.Persistence.Dir).Rollback(t.Context(), RollbackRequest{})
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != 7 || !strings.Contains(remote.Message, engine.ErrNoPrevious.Error()) {
			t.Errorf("got %v, want the owner's ErrNoPrevious and code 7", err)
		}
	})
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"unknown member":  {"POST", "/v1/levers", `{"safe_mode": true, "until": "noon"}`, http.StatusBadRequest},
		"repeated member": {"POST", "/v1/levers", `{"safe_mode": true, "safe_mode": false}`, http.StatusBadRequest},
		"cut short":       {"POST", "/v1/levers", `{"safe_mode": true`, http.StatusBadRequest},
		"two values":      {"POST", "/v1/levers", `{"safe_mode": true} {}`, http.StatusBadRequest},
		"too long":        {"POST", "/v1/levers", `{"safe_mode": true, "reason": "` + strings.Repeat("x", maxBody) + `"}`, http.StatusBadRequest},
		"another path":    {"POST", "/v1/audit", `{}`, http.StatusNotFound},
		"another method":  {"GET", "/v1/save", ``, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := request(t, config.Persistence.Dir, c.method, c.path, c.body)
			if status != c.status || answer.Error == "" || answer.Code != 2 {
				t.Errorf("got status %d, %+v, want %d and why", status, answer, c.status)
			}
		})
	}
	if got := d.Levers(); got != before {
		t.Errorf("levers: got %+v, want %+v", got, before)
	}
}

// request sends one over the socket, as another program might.
func request(t *testing.T, dir, method, path, body string) (int, failure) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, SocketName))
	}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://owner"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var f failure
	if err := json.NewDecoder(response.Body).Decode(&f); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, f
}

func TestWhoMayAsk(t *testing.T) {
	for _, c := range []struct {
		peer, owner uint32
		want        bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}} {
		if got := mayAct(c.peer, c.owner); got != c.want {
			t.Errorf("user %d asks an owner %d: got %v, want %v", c.peer, c.owner, got, c.want)
		}
	}
	d := owner(t, settings(t))
	s := serve(t, d, Options{})
	stranger := uint32(os.Geteuid()) + 1
	for name, ctx := range map[string]context.Context{
		"unknown":  t.Context(),
		"failed":   context.WithValue(t.Context(), peerKey{}, peer{err: errors.New("no such socket")}),
		"stranger": context.WithValue(t.Context(), peerKey{}, peer{uid: stranger}),
	} {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/v1/save", strings.NewReader("{}")))
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: got status %d, want %d", name, w.Code, http.StatusForbidden)
		}
	}
}

func TestSocket(t *testing.T) {
	save := func(t *testing.T, config engine.Config) error {
		_, err := NewClient(config.Persistence.Dir).Save(t.Context(), SaveRequest{})
		return err
	}
	t.Run("nobody listens", func(t *testing.T) {
		config := settings(t)
		owner(t, config)
		if err := save(t, config); !errors.Is(err, ErrNoOwner) || !strings.Contains(err.Error(), config.Persistence.Dir) {
			t.Errorf("got %v, want ErrNoOwner and where", err)
		}
	})
	t.Run("from beginning to end", func(t *testing.T) {
		config := settings(t)
		s := serve(t, owner(t, config), Options{})
		path := filepath.Join(config.Persistence.Dir, SocketName)
		if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("got %v, %v, want a socket of mode 0600", info.Mode(), err)
		}
		if err := save(t, config); err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the end: got %v, want no socket", err)
		}
		if err := save(t, config); !errors.Is(err, ErrNoOwner) {
			t.Errorf("after the end: got %v, want ErrNoOwner", err)
		}
	})
	t.Run("left by a killed owner", func(t *testing.T) {
		config := settings(t)
		d := owner(t, config)
		path := filepath.Join(config.Persistence.Dir, SocketName)
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		if err := stale.Close(); err != nil {
			t.Fatal(err)
		}
		if err := save(t, config); !errors.Is(err, ErrNoOwner) {
			t.Errorf("got %v, want ErrNoOwner", err)
		}
		serve(t, d, Options{})
		if err := save(t, config); err != nil {
			t.Error(err)
		}
	})
	t.Run("a path longer than an address", func(t *testing.T) {
		config := settings(t)
		config.Persistence.Dir = filepath.Join(config.Persistence.Dir, strings.Repeat("x", 200))
		serve(t, owner(t, config), Options{})
		if err := save(t, config); err != nil {
			t.Error(err)
		}
	})
	for name, put := range map[string]func(path string) error{
		"a file in its place": func(path string) error { return os.WriteFile(path, []byte("of a person"), 0o600) },
		"a link in its place": func(path string) error { return os.Symlink("elsewhere", path) },
		"a pipe in its place": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			config := settings(t)
			d := owner(t, config)
			path := filepath.Join(config.Persistence.Dir, SocketName)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			if s, err := Start(d, Options{}); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, %v, want an error that names it", s, err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("it was removed: %v", err)
			}
		})
	}
	t.Run("a reader has none", func(t *testing.T) {
		config := settings(t)
		owner(t, config)
		reader, err := engine.OpenDirectory(config, engine.ReadOnly())
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if _, err := Start(reader, Options{}); !errors.Is(err, engine.ErrReadOnly) {
			t.Errorf("got %v, want ErrReadOnly", err)
		}
	})
}
