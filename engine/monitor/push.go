package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

// PushOptions are how patient a push is: a command waits for it at its end.
func PushOptions() OutsideOptions {
	return OutsideOptions{Attempts: 3, Attempt: 5 * time.Second, Deadline: 15 * time.Second, Every: time.Millisecond}
}

// Push replaces what a Pushgateway has of a job by what is gathered.
func (m *Metrics) Push(ctx context.Context, address, job string, from prometheus.Gatherer, o OutsideOptions) error {
	client := &http.Client{
		Transport:     counted{Transport()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	err := m.Outside("pushgateway", o).Do(ctx, func(ctx context.Context) error {
		g := gateway{client: client}
		if err := push.New(address, job).Gatherer(from).Client(&g).PushContext(ctx); err != nil {
			if g.asked {
				err = cmp.Or(g.err, errNoSuccess)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("push metrics: %w", err)
	}
	return nil
}

// gateway makes one request, and keeps what the pusher's error would be with
// less: the address and what was answered are not for a log, and say which
// failures another attempt would meet again.
type gateway struct {
	client *http.Client
	asked  bool
	err    error
}

// errNoSuccess is for a status such as 204, which no Pushgateway answers.
var errNoSuccess = errors.New("answered another status than 200 or 202")

func (g *gateway) Do(r *http.Request) (*http.Response, error) {
	g.asked = true
	response, err := g.client.Do(r)
	if err != nil {
		g.err = withoutAddress(err)
		return nil, err
	}
	g.err = statusError(response)
	body := response.Body
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, 64<<10), body}
	return response, nil
}

// WriteTextfile writes what is gathered for the textfile collector of
// Prometheus' node exporter, atomically and readable for it (mode 0644).
func WriteTextfile(path string, from prometheus.Gatherer) error {
	if err := prometheus.WriteToTextfile(path, from); err != nil {
		return fmt.Errorf("write metrics to %s: %w", path, err)
	}
	return nil
}
