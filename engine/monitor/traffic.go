package monitor

import (
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// counted is a transport that counts the bodies of calls within Outside.Do.
type counted struct{ http.RoundTripper }

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	o, ok := r.Context().Value(outsideKey{}).(*Outside)
	if !ok {
		return c.RoundTripper.RoundTrip(r)
	}
	if r.Body != nil && r.Body != http.NoBody {
		r = r.WithContext(r.Context()) // a copy: a transport changes no request
		r.Body, r.GetBody = countedBody{r.Body, o.sent}, nil
	}
	response, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = countedBody{response.Body, o.received}
	}
	return response, err
}

// countedBody counts what is read of it.
type countedBody struct {
	io.ReadCloser
	bytes prometheus.Counter
}

func (b countedBody) Read(to []byte) (int, error) {
	n, err := b.ReadCloser.Read(to)
	b.bytes.Add(float64(n))
	return n, err
}
