package torch

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// With the CPU as device 0, which the test build of the shim makes of it
// (cgo/shim/device.h).
func TestADeviceAndItsLoss(t *testing.T) {
	faults := os.Getenv("FDQC_FAULTS_LIB")
	if faults == "" {
		t.Skip("FDQC_FAULTS_LIB is not set: run `make build`")
	}
	if !inChild(t, nil, "FDQC_LIB="+faults, "FDQC_FAULT_DEVICE=none") {
		return
	}
	l, ctx := library(t), t.Context()
	auto, err := l.Device("auto")
	if err != nil || auto != 0 {
		t.Fatalf("auto: got %v, %v, want cuda:0", auto, err)
	}
	if info, err := l.DeviceInfo(auto); err != nil || info != (DeviceInfo{}) {
		t.Errorf("before states: got %+v, %v, want nothing known", info, err)
	}
	want := numbers(8, 1)
	states, err := l.NewStates(ctx, auto, 8, want, want)
	if err != nil {
		t.Fatal(err)
	}
	defer states.Close()
	if info, err := l.DeviceInfo(auto); err != nil || info.Kernels == "" || info.OwnKernels || info.Lost {
		t.Errorf("with states: got %+v, %v, want words on kernels, none of our own", info, err)
	}

	t.Setenv("FDQC_FAULT_DEVICE", "lost:1")
	if w, err := l.NewWeights(ctx, auto, 8, riskTensors(8)); !errors.Is(err, ErrDeviceLost) {
		t.Errorf("weights: got %v, %v, want ErrDeviceLost", w, err)
	}
	if info, err := l.DeviceInfo(auto); err != nil || !info.Lost {
		t.Errorf("afterwards: got %+v, %v, want lost", info, err)
	}
	moved, err := states.CopyTo(ctx, CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	for _, s := range []*States{states, moved} {
		real, imag := make([]float32, 8), make([]float32, 8)
		if err := s.Read(ctx, 3, real, imag); err != nil || !slices.Equal(real, want) || !slices.Equal(imag, want) {
			t.Errorf("states on %v: got %v, %v, %v, want %v twice", s.device, real, imag, err, want)
		}
	}
	if got, err := states.CopyTo(ctx, auto); !errors.Is(err, ErrDeviceLost) {
		t.Errorf("copied to the lost device: got %v, %v, want ErrDeviceLost", got, err)
	}
	if d, err := l.Device("auto"); err != nil || d != CPU {
		t.Errorf("auto afterwards: got %v, %v, want the cpu", d, err)
	}
	if info, err := l.DeviceInfo(1); err == nil {
		t.Errorf("device 1: got %+v, want an error", info)
	}
}
