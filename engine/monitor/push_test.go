package monitor

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestPush(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := full(t, newClock())
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		statuses []int
		ok       bool
		attempts int64
	}{
		{"ok", []int{200}, true, 1},
		{"fails, then works", []int{500, 202}, true, 2},
		{"fails", []int{500}, false, int64(quick().Attempts)},
		{"redirects", []int{302}, false, 1},
		{"is another's", []int{404}, false, 1},
		{"says nothing", []int{204}, false, int64(quick().Attempts)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int64
			var path, body atomic.Value
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				text, _ := io.ReadAll(r.Body)
				path.Store(r.Method + " " + r.URL.Path)
				body.Store(string(text))
				w.Header().Set("Location", "/")
				w.WriteHeader(c.statuses[min(int(n.Add(1)), len(c.statuses))-1])
				_, _ = io.WriteString(w, "secret")
			})
			err := m.Metrics.Push(t.Context(), s.URL, "fdqc_validate", registry, quick())
			if (err == nil) != c.ok || n.Load() != c.attempts {
				t.Errorf("got %v after %d attempts, want success: %v after %d", err, n.Load(), c.ok, c.attempts)
			}
			if err != nil && (strings.Contains(err.Error(), s.URL) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("got %v, want neither the address nor the answer in it", err)
			}
			if path.Load() != "PUT /metrics/job/fdqc_validate" || !strings.Contains(body.Load().(string), "fdqc_validations_total") {
				t.Errorf("pushed %s with %d bytes", path.Load(), len(body.Load().(string)))
			}
		})
	}
}

func TestWriteTextfile(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := full(t, newClock())
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fdqc.prom")
	if err := WriteTextfile(path, registry); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `fdqc_tier{tier="GAMMA"} 1`) {
		t.Errorf("%d bytes (%v), want the metrics", len(text), err)
	}
	if err := WriteTextfile(filepath.Join(t.TempDir(), "absent", "fdqc.prom"), registry); err == nil {
		t.Error("a folder that is absent is no error")
	}
}
