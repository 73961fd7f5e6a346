package pickle

import "fmt"

// Budget is the memory that one Decode, or several that share it, may still take. It belongs to one goroutine.
//
// What is taken is charged as it is allocated and never given back, so the limit holds for all that was ever allocated and
// not only for what is alive at one moment. Charges are estimates that err upwards.
type Budget struct{ limit, left int64 }

// NewBudget makes a budget of a number of bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: bytes, left: bytes} }

// Take charges n bytes; the error says that the limit is reached.
func (b *Budget) Take(n int64) error {
	if b.left -= n; b.left < 0 {
		return fmt.Errorf("values of more than %d bytes of memory", b.limit)
	}
	return nil
}

// Estimates of what a value costs in memory, the walk for cycles included.
const (
	costScalar = 16  // a number or a header of a string behind an interface
	costObject = 96  // a list, a tuple or a call
	costDict   = 160 // a dict
	costEntry  = 112 // of a dict: growth of its entries, and what the walk copies
	costIndex  = 160 // of a dict with an index
	costItem   = 16  // an interface
)
