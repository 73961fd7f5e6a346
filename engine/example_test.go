package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// A first program: learn one safe and one unsafe action, then judge two that
// resemble them.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "fdqc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	config := engine.DefaultConfig()
	config.Persistence.Dir = dir
	e, err := engine.Open(ctx, config)
	var unavailable *torch.UnavailableError
	if errors.As(err, &unavailable) {
		log.Fatal("LibTorch is not here: ", err) // make build
	}
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	readFile := []float32{0.9, 0.1, 0, 0, 0.1, 0, 0, 0}
	dropTable := []float32{0, 0, 0.8, 0.7, 0, 0, 0.2, 0}
	receipts, err := e.Record(ctx, []engine.Outcome{
		{Embedding: readFile, IsSafe: true},
		{Embedding: dropTable, IsSafe: false},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range receipts {
		fmt.Println(r.Result, r.Side, "pattern", r.PatternID, "durable:", r.Durable)
	}

	verdicts, err := e.Validate(ctx, engine.Batch{
		Embeddings: []float32{
			0.85, 0.1, 0, 0, 0.1, 0, 0, 0, // like readFile
			0, 0, 0.8, 0.75, 0, 0, 0.2, 0, // like dropTable
		},
		Width: 8,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range verdicts {
		fmt.Println("nearest safe", v.NearestSafe, "nearest unsafe", v.NearestUnsafe,
			"similar to safe:", v.SafeSimilarity > v.UnsafeSimilarity, "decision:", v.Decision)
	}
	// Output:
	// stored safe pattern 1 durable: true
	// stored unsafe pattern 2 durable: true
	// nearest safe 1 nearest unsafe 2 similar to safe: true decision: review
	// nearest safe 1 nearest unsafe 2 similar to safe: false decision: review
}
