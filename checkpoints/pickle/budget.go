package pickle

import "fmt"

// Budget is the memory that one Decode, or several that share it, may still take. It belongs to one goroutine.
//
// What is taken is charged as it is allocated and never given back, so the limit holds for all that was ever allocated and
// not only for what is alive at one moment. Charges are estimates that err upwards. Files that hold much may take more: the
// limit is at least four times the texts, bytes and storages that were found, so that only structure without content is cut.
type Budget struct{ base, found, taken int64 }

// NewBudget makes a budget of a number of bytes.
func NewBudget(bytes int64) *Budget { return &Budget{base: bytes} }

// Found counts n bytes of content.
func (b *Budget) Found(n int64) { b.found += n }

// Take charges n bytes; the error says that the limit is reached.
func (b *Budget) Take(n int64) error {
	if b.taken += n; b.taken > max(b.base, 4*b.found) {
		return fmt.Errorf("values of more than %d bytes of memory for %d bytes of content", max(b.base, 4*b.found), b.found)
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
