package monitor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// token is the part of an address that must not be seen anywhere.
const token = "T0KEN-a1b2c3"

// quick are patient calls for tests.
func quick() OutsideOptions {
	return OutsideOptions{
		Attempts: 3, Attempt: 10 * time.Second, Deadline: 20 * time.Second, Backoff: time.Millisecond,
		BreakAfter: 5, BreakFor: time.Hour, Every: time.Microsecond,
	}
}

// server answers requests, and closes with the test.
func server(t *testing.T, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s
}

// TestDeliveries sends one alert to servers that behave in many ways.
func TestDeliveries(t *testing.T) {
	// answer gives each request the next status; 0 closes the connection.
	answer := func(statuses ...int) http.HandlerFunc {
		var n atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) {
			status := statuses[min(int(n.Add(1)), len(statuses))-1]
			if status == 0 {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					conn.Close()
				}
				return
			}
			if status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "1")
			}
			w.Header().Set("Location", "/elsewhere/"+token)
			w.WriteHeader(status)
			fmt.Fprint(w, "your address was ", r.URL)
		}
	}
	for _, c := range []struct {
		name     string
		statuses []int
		requests int
		want     string // of the log; "": delivered
	}{
		{"ok", []int{200}, 1, ""},
		{"no content", []int{204}, 1, ""},
		{"fails, then works", []int{500, 502, 200}, 3, ""},
		{"closes the connection, then works", []int{0, 200}, 2, ""},
		{"too many, with Retry-After", []int{429, 200}, 2, ""},
		{"fails always", []int{500}, 3, "answered status 500"},
		{"closes every connection", []int{0}, 3, "was not delivered"},
		{"refuses", []int{403}, 1, "answered status 403"},
		{"not there", []int{404}, 1, "answered status 404"},
		{"redirects", []int{302}, 1, "a redirect, which is not followed"},
		{"redirects for good", []int{308}, 1, "a redirect, which is not followed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			handle := answer(c.statuses...)
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				handle(w, r)
			})
			slack, err := NewSlack(Secret(s.URL+"/services/"+token), nil)
			if err != nil {
				t.Fatal(err)
			}
			logs := &log{}
			metrics := NewMetrics(MetricsOptions{})
			start := time.Now()
			a := openAlerts(t, AlertOptions{Logger: logger(logs), Metrics: metrics, Sinks: []Sink{slack}, Outside: quick(), Grace: time.Minute})
			a.Raise(Alert{Level: Warning, Kind: Test, Source: "here", Message: "one"})
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if got := int(requests.Load()); got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
			failed := strings.Contains(logs.String(), "was not delivered")
			if failed != (c.want != "") || !strings.Contains(logs.String(), c.want) {
				t.Errorf("log:\n%swant %q", logs, c.want)
			}
			if got := value(t, metrics.alertsDropped); (got == 1) != failed {
				t.Errorf("%v alerts dropped, failed %v", got, failed)
			}
			if c.statuses[0] == 429 && time.Since(start) < time.Second {
				t.Errorf("tried again after %v, the server asked for 1 s", time.Since(start))
			}
			if text := logs.String(); strings.Contains(text, token) || strings.Contains(text, "your address") {
				t.Errorf("the log shows the secret, or an answer:\n%s", text)
			}
			for outcome, want := range map[string]float64{"ok": 1 - truth(failed), "failed": truth(failed), "refused": 0} {
				if got := testutil.ToFloat64(metrics.outside.calls.WithLabelValues("slack", outcome)); got != want {
					t.Errorf("%v calls %s, want %v", got, outcome, want)
				}
			}
		})
	}
}

// TestNobodyListens: the address does not get into the log either.
func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for _, c := range []struct{ name, address string }{
		{"connection refused", "http://" + address + "/" + token},
		{"no TLS there", "https://" + address + "/" + token},
		{"no such host", "https://" + token + ".invalid/" + token},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs := &log{}
			hook, err := NewWebhook(Secret(c.address), "", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			a := openAlerts(t, AlertOptions{Logger: logger(logs), Sinks: []Sink{hook}, Outside: quick(), Grace: time.Minute})
			a.Raise(Alert{Level: Warning, Kind: Test, Message: "one"})
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if text := logs.String(); !strings.Contains(text, "was not delivered") || strings.Contains(text, "/"+token) {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}

// TestTheBreakerOpens: after five failures in a row nothing is sent any more,
// which is counted.
func TestTheBreakerOpens(t *testing.T) {
	var requests atomic.Int64
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	hook, err := NewWebhook(Secret(s.URL), "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	metrics := NewMetrics(MetricsOptions{})
	out := metrics.Outside("webhook", quick())
	send := func() error {
		return out.Do(t.Context(), func(ctx context.Context) error { return hook.Send(ctx, Alert{}) })
	}
	for i := range 4 {
		err := send()
		if open := errors.Is(err, ErrOpen); err == nil || open != (i >= 2) && i != 1 {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := requests.Load(); got != 5 {
		t.Errorf("%d requests, want 5: then the breaker is open", got)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := metrics.Register(registry); err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP fdqc_outside_attempts_total Attempts of calls outside.
# TYPE fdqc_outside_attempts_total counter
fdqc_outside_attempts_total{destination="webhook"} 5
# HELP fdqc_outside_breaker_open 1 while the circuit breaker of a destination lets no call through.
# TYPE fdqc_outside_breaker_open gauge
fdqc_outside_breaker_open{destination="webhook"} 1
`), "fdqc_outside_attempts_total", "fdqc_outside_breaker_open"); err != nil {
		t.Error(err)
	}
}

// TestTheBreakerClosesAgain when the destination works.
func TestTheBreakerClosesAgain(t *testing.T) {
	var working atomic.Bool
	out := NewMetrics(MetricsOptions{}).Outside("x", OutsideOptions{
		Attempts: 1, Attempt: time.Minute, BreakAfter: 1, BreakFor: time.Millisecond, Every: time.Microsecond})
	call := func(context.Context) error {
		if !working.Load() {
			return errors.New("not working")
		}
		return nil
	}
	if err := out.Do(t.Context(), call); err == nil || !out.Open() {
		t.Fatalf("got %v, want a failure that opens the breaker", err)
	}
	working.Store(true)
	for deadline := time.Now().Add(10 * time.Second); out.Do(t.Context(), call) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the breaker stays open")
		}
	}
	if out.Open() {
		t.Error("the breaker is open after a success")
	}
}

// TestDeadlines end an attempt, and all attempts.
func TestDeadlines(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, c := range []struct {
		name string
		o    OutsideOptions
	}{
		{"of each attempt", OutsideOptions{Attempts: 2, Attempt: time.Millisecond, Backoff: time.Millisecond, Every: time.Microsecond}},
		{"of all", OutsideOptions{Attempts: 1000, Attempt: time.Hour, Deadline: time.Millisecond, Every: time.Microsecond}},
		{"while it waits", OutsideOptions{Attempts: 1000, Deadline: time.Millisecond, Backoff: time.Hour, Every: time.Hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			out := NewMetrics(MetricsOptions{}).Outside("x", c.o)
			for range 2 {
				if err := out.Do(t.Context(), hang); err == nil {
					t.Error("a call that hangs is no failure")
				}
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestASlowSinkHoldsNothingUp: raising goes on at once, what does not fit the
// queue is counted, and Close gives up after the grace time.
func TestASlowSinkHoldsNothingUp(t *testing.T) {
	release := make(chan struct{})
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	hook, err := NewWebhook(Secret(s.URL), "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	metrics := NewMetrics(MetricsOptions{})
	o := quick()
	o.Attempt, o.Deadline = time.Hour, time.Hour
	a := openAlerts(t, AlertOptions{Metrics: metrics, Sinks: []Sink{hook}, Outside: o, Grace: time.Millisecond})
	const many = 3 * (senderQueue + queueLength)
	for i := range many {
		a.Raise(Alert{Level: Error, Kind: Test, Source: fmt.Sprint(i)})
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, metrics.alertsDropped); got != many {
		t.Errorf("%v alerts dropped, want %d: none was delivered", got, many)
	}
	if got := len(a.List()); got != many {
		t.Errorf("%d alerts are kept, want %d", got, many)
	}
}

// TestLevelsOfSinks: what is below the least level stays here.
func TestLevelsOfSinks(t *testing.T) {
	var got atomic.Int64
	s := server(t, func(http.ResponseWriter, *http.Request) { got.Add(1) })
	slack, err := NewSlack(Secret(s.URL), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := openAlerts(t, AlertOptions{Sinks: []Sink{slack}, Least: Error, Outside: quick(), Grace: time.Minute})
	for level := Info; level <= Critical; level++ {
		a.Raise(Alert{Level: level, Kind: Test})
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got.Load() != 2 {
		t.Errorf("%d alerts arrived, want 2", got.Load())
	}
}

func TestWhatIsPosted(t *testing.T) {
	type post struct {
		body   string
		header http.Header
	}
	posts := make(chan post, 1)
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- post{string(body), r.Header}
	})
	now := newClock()
	alert := Alert{At: now.Now(), Level: Error, Kind: Test, Source: "here", Message: "a <b> & c", Swallowed: 2}
	slack, err := NewSlack(Secret(s.URL), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := slack.Send(t.Context(), alert); err != nil {
		t.Fatal(err)
	}
	var text struct{ Text string }
	if err := json.Unmarshal([]byte((<-posts).body), &text); err != nil {
		t.Fatal(err)
	}
	if want := "[error] a &lt;b&gt; &amp; c (and 2 more since the last such alert) (test, here)"; text.Text != want {
		t.Errorf("Slack got %q, want %q", text.Text, want)
	}
	hook, err := NewWebhook(Secret(s.URL), "key", now.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := hook.Send(t.Context(), alert); err != nil {
		t.Fatal(err)
	}
	got := <-posts
	var back Alert
	if err := json.Unmarshal([]byte(got.body), &back); err != nil || back != alert {
		t.Errorf("the webhook got %+v, %v, want %+v", back, err, alert)
	}
	at := got.header.Get("X-FDQC-Timestamp")
	if want := "sha256=" + sign("key", at, []byte(got.body)); at != "1795662000" || got.header.Get("X-FDQC-Signature") != want {
		t.Errorf("signed %q at %q, want %q", got.header.Get("X-FDQC-Signature"), at, want)
	}
	// printf 1.body | openssl dgst -sha256 -hmac key
	if want := "91b5374b153842ad05b2c4eab9349b8321b14703165bd3fb8b034dfb8be98ae5"; sign("key", "1", []byte("body")) != want {
		t.Errorf("HMAC of 1.body: %s, want %s", sign("key", "1", []byte("body")), want)
	}
}

// TestTLS: a server is spoken to when its certificate is trusted, else not.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	trusting := Transport()
	trusting.TLSClientConfig.RootCAs = x509.NewCertPool()
	trusting.TLSClientConfig.RootCAs.AddCert(s.Certificate())
	old := Transport()
	old.TLSClientConfig = &tls.Config{MaxVersion: tls.VersionTLS11, RootCAs: trusting.TLSClientConfig.RootCAs}
	for _, c := range []struct {
		name      string
		transport http.RoundTripper
		ok        bool
	}{{"trusted", trusting, true}, {"unknown", nil, false}, {"too old", old, false}} {
		t.Run(c.name, func(t *testing.T) {
			hook, err := NewWebhook(Secret(s.URL+"/"+token), "", nil, c.transport)
			if err != nil {
				t.Fatal(err)
			}
			err = hook.Send(t.Context(), Alert{})
			if (err == nil) != c.ok || err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("got %v, want success: %v", err, c.ok)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://hooks.example.com/" + token: true, "http://localhost:8080/" + token: true, "http://[::1]/" + token: true,
		"http://hooks.example.com/" + token: false, "ftp://localhost/" + token: false, token: false, "": false,
		"https:///" + token: false, "https://exa mple/" + token: false, ":// %zz" + token: false,
	} {
		_, err := NewSlack(Secret(address), nil)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%s: got %v, want accepted: %v", address, err, ok)
		}
	}
}
