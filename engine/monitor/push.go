package monitor

import (
	"context"
	"fmt"
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
		Transport:     Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	pusher := push.New(address, job).Gatherer(from).Client(client)
	if err := m.Outside("pushgateway", o).Do(ctx, pusher.PushContext); err != nil {
		return fmt.Errorf("push metrics: %w", err)
	}
	return nil
}

// WriteTextfile writes what is gathered for the textfile collector of
// Prometheus' node exporter, atomically and readable for it (mode 0644).
func WriteTextfile(path string, from prometheus.Gatherer) error {
	if err := prometheus.WriteToTextfile(path, from); err != nil {
		return fmt.Errorf("write metrics to %s: %w", path, err)
	}
	return nil
}
