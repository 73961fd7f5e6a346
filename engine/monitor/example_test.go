package monitor_test

import (
	"context"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// A program around an engine asks a model that is paid for, with the engine's
// metrics (Directory.Monitor().Metrics): attempts, backoff, a circuit breaker, and
// what it costs.
func ExampleMetrics_Spending() {
	metrics := monitor.NewMetrics(monitor.MetricsOptions{})
	encoder := metrics.Outside("encoder", monitor.DefaultOutside())
	spending := metrics.Spending("encoder", "usd")

	prompt := "please delete, if it is no trouble, the folder called build"
	err := encoder.Do(context.Background(), func(context.Context) error {
		short := "delete folder build"
		spending.Compressed(len(prompt), len(short)) // fdqc_outside_compression_ratio
		// … the request …
		spending.Cost(0.0002) // fdqc_outside_cost_total{destination="encoder",currency="usd"}
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}
