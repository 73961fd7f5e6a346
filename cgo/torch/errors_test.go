package torch

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Rule 1: an error belongs to the call that failed.
func TestErrorBelongsToItsCall(t *testing.T) {
	f := newFixture(t, library(t), 8, 0)
	var group sync.WaitGroup
	for g := range 64 {
		group.Go(func() {
			rows, ids := make([]float32, 16), []int64{1}
			for i := range 100 {
				// The native side, not Go, refuses an index beyond the end.
				index := int64(1000 + 100*g + i)
				err := f.patterns.Put(t.Context(), Safe, []int64{index}, rows, ids)
				var e *Error
				if want := fmt.Sprintf("index %d of row 0", index); !errors.As(err, &e) || !strings.Contains(e.Message, want) {
					t.Errorf("put at %d: got %v, want an error with %q", index, err, want)
					return
				}
				if e.Op != "patterns_put" || e.Code != InvalidArgument {
					t.Errorf("put at %d: got op %q code %d, want patterns_put and %d", index, e.Op, e.Code, InvalidArgument)
				}
			}
		})
	}
	group.Wait()
}
