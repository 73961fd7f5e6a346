package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/models"
)

// anyDevice is the setting under which a lost device is given up for the CPU.
const anyDevice = "auto"

// device is where the engine computes, and what happened there. Written under
// computing, read by anybody.
type device struct {
	now         atomic.Int32 // a torch.Device
	fallbacks   atomic.Int64
	outOfMemory atomic.Int64
	seen        int64 // outOfMemory of the shim, which counts for the process
}

func (d *device) on() torch.Device { return torch.Device(d.now.Load()) }

// DeviceStats counts what happened to the device of an engine.
type DeviceStats struct {
	Device string // where batches are judged now: cpu or cuda:N
	// Fallbacks counts the lost devices that were given up for the CPU
	// (fdqc_device_fallbacks_total).
	Fallbacks int64
	// OutOfMemory counts the times that a batch was begun again with fewer rows
	// on the device at once (fdqc_device_out_of_memory_total).
	OutOfMemory int64
}

// DeviceStats counts since the engine was opened. It waits for nothing.
func (e *Engine) DeviceStats() DeviceStats {
	return DeviceStats{Device: e.DeviceName(), Fallbacks: e.device.fallbacks.Load(), OutOfMemory: e.device.outOfMemory.Load()}
}

// DeviceName is where the engine computes: cpu or cuda:N. With the setting auto
// a device that is lost is given up for the CPU.
func (e *Engine) DeviceName() string { return e.device.on().String() }

// openValidator makes the validator on a device, or on the CPU when that is
// lost meanwhile and any will do.
func (e *Engine) openValidator(ctx context.Context, on torch.Device, l *loaded) error {
	options := models.ValidatorOptions{
		Library: e.library, Device: on,
		Weights: l.weights, Projections: l.projections,
		MaxProjections: e.config.Safety.MaxCachedProjections,
		ProjectionSeed: e.config.Safety.ProjectionSeed,
		Drawn: func(width int) {
			e.logger.Warn("no file holds a projection of this width, one was drawn: its verdicts carry next to no signal and are at most review",
				"width", width, "workspace_dim", e.config.Safety.WorkspaceDim)
		},
	}
	var err error
	e.validator, err = models.NewValidator(ctx, options)
	if errors.Is(err, torch.ErrDeviceLost) && e.config.Engine.Device == anyDevice {
		e.logger.Error("the device is lost, batches are judged on the CPU from now on", "device", on.String(), "error", err)
		e.device.fallbacks.Add(1)
		options.Device = torch.CPU
		e.validator, err = models.NewValidator(ctx, options)
	}
	if err != nil {
		return err
	}
	e.device.now.Store(int32(options.Device))
	if options.Device == torch.CPU {
		return nil
	}
	info, err := e.library.DeviceInfo(options.Device)
	if err != nil {
		return err
	}
	e.device.seen = info.OutOfMemory
	log := e.logger.Warn // slower than it could be, and nobody would know why
	if info.OwnKernels || e.config.Safety.WorkspaceDim > torch.MaxKernelWorkspace {
		log = e.logger.Info
	}
	log("batches are judged on a device", "device", e.DeviceName(), "by", info.Kernels)
	return nil
}

// deviceFailed takes note of what a native call left behind and answers its
// error. A lost device is given up for the CPU when the configuration names
// none: batches from then on are judged there, with the states that the last
// batch left and the whole memory. Otherwise every call answers the same error.
// The caller holds computing.
func (e *Engine) deviceFailed(err error) error {
	on := e.device.on()
	if on == torch.CPU {
		return err
	}
	e.noteMemory(on)
	if !errors.Is(err, torch.ErrDeviceLost) {
		return err
	}
	if e.config.Engine.Device != anyDevice {
		e.directory.watch.deviceLost(err)
		e.logger.Error("the device is lost, nothing can be judged until this program starts anew", "device", on.String(), "error", err)
		return err
	}
	// What moves is in host memory: this waits for no device.
	if moved := e.validator.MoveTo(context.Background(), torch.CPU); moved != nil {
		e.logger.Error("the device is lost, and the CPU cannot take over yet", "device", on.String(), "error", moved)
		return errors.Join(err, moved)
	}
	e.stale = true
	e.directory.watch.deviceLost(err)
	e.device.now.Store(int32(torch.CPU))
	e.device.fallbacks.Add(1)
	e.logger.Error("the device is lost, batches are judged on the CPU from now on", "device", on.String(), "error", err)
	return fmt.Errorf("%w; later batches are judged on the CPU", err)
}

// noteMemory counts the batches that the device had too little memory for, and
// says so the first time.
func (e *Engine) noteMemory(on torch.Device) {
	count := e.library.OutOfMemory(on)
	if count <= e.device.seen {
		return
	}
	before := e.device.outOfMemory.Load()
	e.device.outOfMemory.Store(before + count - e.device.seen)
	e.device.seen = count
	if before > 0 {
		return
	}
	info, _ := e.library.DeviceInfo(on) // it just answered
	e.logger.Warn("the device had too little memory: batches go through it in smaller parts from now on",
		"device", on.String(), "rows", info.TileRows)
}
