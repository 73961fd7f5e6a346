package monitor

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// hook posts JSON to an address that is a secret. Redirects are not followed:
// they would carry what is posted elsewhere.
type hook struct {
	name   string
	url    Secret
	client *http.Client
}

// newHook makes a hook; a nil transport is the usual one. The address must be
// https, or http on this machine.
func newHook(name string, address Secret, transport http.RoundTripper) (*hook, error) {
	u, err := url.Parse(string(address)) // its error shows the address
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()))) {
		return nil, fmt.Errorf("%s: the address is not one, expected https://…", name)
	}
	if transport == nil {
		transport = Transport()
	}
	return &hook{name: name, url: address, client: &http.Client{
		Transport:     counted{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Transport is how destinations outside are reached: through the proxy of the
// environment, by TLS 1.2 or newer, each connection for one call.
func Transport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// post makes one attempt.
func (h *hook) post(ctx context.Context, body []byte, header http.Header) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(h.url), bytes.NewReader(body))
	if err != nil {
		return &PermanentError{h.plain(err)}
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "fdqc")
	response, err := h.client.Do(request)
	if err != nil {
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) {
			return &PermanentError{h.plain(err)}
		}
		return h.plain(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // what it says may repeat what was sent
	return statusError(response)
}

// statusError is nil for a success.
func statusError(r *http.Response) error {
	switch code := r.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return &PermanentError{fmt.Errorf("answered status %d, a redirect, which is not followed", code)}
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		err := fmt.Errorf("answered status %d", code)
		if after := retryAfterOf(r.Header, time.Now()); after > 0 {
			return &RetryAfterError{err, after}
		}
		return err
	default:
		return &PermanentError{fmt.Errorf("answered status %d", code)}
	}
}

// retryAfterOf reads seconds or a date (RFC 9110, section 10.2.3); 0: neither.
func retryAfterOf(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}

// plain takes the address out of an error.
func (h *hook) plain(err error) error { return h.url.scrub(withoutAddress(err)) }

// withoutAddress is what went wrong with a request, and not where it went.
func withoutAddress(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// Slack sends alerts to an incoming webhook of Slack.
type Slack struct{ hook *hook }

var _ Sink = (*Slack)(nil)

// NewSlack makes a sink of the address that Slack gave; it is a secret. A nil
// transport is Transport.
func NewSlack(address Secret, transport http.RoundTripper) (*Slack, error) {
	h, err := newHook("slack", address, transport)
	if err != nil {
		return nil, err
	}
	return &Slack{h}, nil
}

// Name is slack.
func (*Slack) Name() string { return "slack" }

// Send makes one attempt.
func (s *Slack) Send(ctx context.Context, alert Alert) error {
	// Slack takes these three for markup.
	text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(fmt.Sprintf(
		"[%s] %s (%s, %s)", alert.Level, alert, alert.Kind, alert.Source))
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return &PermanentError{err}
	}
	return s.hook.post(ctx, body, http.Header{})
}

// Webhook posts alerts as JSON, signed when there is a secret:
// X-FDQC-Signature is "sha256=" and the hexadecimal HMAC-SHA256 of the value
// of X-FDQC-Timestamp (seconds since 1970), a full stop and the body.
type Webhook struct {
	hook   *hook
	secret Secret
	now    func() time.Time
}

var _ Sink = (*Webhook)(nil)

// NewWebhook makes a sink; secret may be empty, now nil. A nil transport is
// Transport.
func NewWebhook(address, secret Secret, now func() time.Time, transport http.RoundTripper) (*Webhook, error) {
	h, err := newHook("webhook", address, transport)
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	return &Webhook{h, secret, now}, nil
}

// Name is webhook.
func (*Webhook) Name() string { return "webhook" }

// Send makes one attempt.
func (w *Webhook) Send(ctx context.Context, alert Alert) error {
	body, err := json.Marshal(alert)
	if err != nil {
		return &PermanentError{err}
	}
	header := http.Header{}
	if w.secret != "" {
		at := strconv.FormatInt(w.now().Unix(), 10)
		header.Set("X-FDQC-Timestamp", at)
		header.Set("X-FDQC-Signature", "sha256="+sign(w.secret, at, body))
	}
	return w.secret.scrub(w.hook.post(ctx, body, header))
}

func sign(secret Secret, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
