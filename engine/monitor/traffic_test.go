package monitor

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTrafficIsCounted: what a web hook and a Pushgateway are sent, in all
// attempts, and what they answer.
func TestTrafficIsCounted(t *testing.T) {
	var requests, bytes atomic.Int64
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		bytes.Add(n)
		if requests.Add(1)%3 != 0 {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		}
	})
	hook, err := NewWebhook(Secret(s.URL), "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := full(t, newClock()).Metrics
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"webhook": func() error {
			return m.Outside("webhook", quick()).Do(t.Context(), func(ctx context.Context) error {
				return hook.Send(ctx, Alert{Kind: Test, Message: "x"})
			})
		},
		"pushgateway": func() error { return m.Push(t.Context(), s.URL, "job", registry, quick()) },
	} {
		requests.Store(0)
		bytes.Store(0)
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sent, received := value(t, m.outside.sent.WithLabelValues(name)), value(t, m.outside.received.WithLabelValues(name))
		if requests.Load() != 3 || sent != float64(bytes.Load()) || sent == 0 || received != 200 {
			t.Errorf("%s: %v bytes sent and %v received are counted in %d attempts, want %d and 200 in 3", name, sent, received, requests.Load(), bytes.Load())
		}
	}
}
