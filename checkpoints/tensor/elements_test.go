package tensor_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// TestElementsAreShared gives the bytes that a tensor was made of where that can be, and the same numbers elsewhere.
func TestElementsAreShared(t *testing.T) {
	data := make([]byte, 8*9)
	for i := range 9 {
		binary.LittleEndian.PutUint64(data[8*i:], uint64(i))
	}
	aligned := tensor.New(tensor.Int64, []int64{2, 4}, data[:64])
	got, err := aligned.Int64s()
	if err != nil || !slices.Equal(got, []int64{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Fatalf("got %v (%v)", got, err)
	}
	data[0] = 7
	if got[0] != 7 {
		t.Error("aligned: got a copy, want the bytes themselves")
	}
	data[0] = 0
	copy(data[1:], slices.Clone(data[:64]))
	odd, err := tensor.New(tensor.Int64, []int64{8}, data[1:65]).Int64s()
	if err != nil || !slices.Equal(odd, []int64{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("at an odd address: got %v (%v), want the same numbers", odd, err)
	}
	if none, err := tensor.New(tensor.Float32, []int64{0, 3}, nil).Float32s(); err != nil || len(none) != 0 {
		t.Errorf("empty: got %v (%v)", none, err)
	}
	if _, err := aligned.Float32s(); !errors.Is(err, tensor.ErrType) {
		t.Errorf("int64 as float32: got %v, want ErrType", err)
	}
}
