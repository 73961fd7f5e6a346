package engine_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// deviceFault tells the test build of the shim how its device 0, which is the
// CPU, is to fail: none, lost:K at the K-th step, memory:R beyond R rows.
const deviceFault = "FDQC_FAULT_DEVICE"

// withDevice runs the test in a process of its own, in which that device is
// there: a lost one is lost for the whole process. It answers true there.
func withDevice(t *testing.T) bool {
	t.Helper()
	faults := os.Getenv("FDQC_FAULTS_LIB")
	if faults == "" {
		t.Skip("FDQC_FAULTS_LIB is not set: run make build")
	}
	if os.Getenv(deviceFault) != "" {
		return true
	}
	name := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+name, "-test.v", "-test.timeout=2m")
	command.Env = append(os.Environ(), "FDQC_LIB="+faults, deviceFault+"=none")
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v: %v\n%s", command.Args, err, out)
	}
	return false
}

// steps are the last of all alone where time is short: each is a process.
func steps(all ...string) []string {
	if testing.Short() {
		return all[len(all)-1:]
	}
	return all
}

// deviceEngine opens an engine of n = 8 with 40 outcomes, and what it logs.
func deviceEngine(t *testing.T, device string) (*engine.Engine, *logBuffer) {
	t.Helper()
	config := inMemory(8)
	config.Engine.Device = device
	config.Monitor.ErrorRate = 1 // a batch that fails is no alarm
	var log logBuffer
	e := open(t, config, engine.InMemory(), engine.WithLogger(hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info})))
	record(t, e, outcomes(normal(1, 40, 8), 8))
	return e, &log
}

// deviceBatch has 300 rows of three sessions.
func deviceBatch(seed uint64) engine.Batch {
	b := engine.Batch{Embeddings: normal(seed, 300, 8), Width: 8, Sessions: make([]string, 300)}
	for i := range b.Sessions {
		b.Sessions[i] = []string{"", "a", "b"}[i%3]
	}
	return b
}

func wantSame(t *testing.T, what string, got, want []engine.Verdict) {
	t.Helper()
	for i := range want {
		same(t, what, got[i], want[i])
		if got[i].Decision != want[i].Decision {
			t.Errorf("%s: row %d: got %v, want %v", what, i, got[i].Decision, want[i].Decision)
		}
	}
}

// Whatever the step at which it is lost: the batch in hand is an error that
// writes nothing, and the next is judged on the CPU as if that one had never
// been.
func TestALostDeviceIsGivenUpForTheCPU(t *testing.T) {
	for _, step := range steps("lost:1", "lost:2", "lost:3", "lost:4") {
		t.Run(step, func(t *testing.T) {
			if !withDevice(t) {
				return
			}
			onCPU, _ := deviceEngine(t, "cpu")
			e, log := deviceEngine(t, "auto")
			if got := e.DeviceStats(); got != (engine.DeviceStats{Device: "cuda:0"}) {
				t.Fatalf("opened: got %+v, want cuda:0", got)
			}
			wantSame(t, "on the device", validate(t, e, deviceBatch(2)), validate(t, onCPU, deviceBatch(2)))

			t.Setenv(deviceFault, step)
			out := make([]engine.Verdict, 300)
			out[7].NearestSafe = 42
			err := e.ValidateInto(t.Context(), deviceBatch(3), out)
			if !errors.Is(err, torch.ErrDeviceLost) || !strings.Contains(err.Error(), "later batches are judged on the CPU") {
				t.Fatalf("the batch in hand: got %v, want a lost device", err)
			}
			if out[7].NearestSafe != 42 {
				t.Errorf("the batch in hand wrote %+v", out[7])
			}
			if got := e.DeviceStats(); got != (engine.DeviceStats{Device: "cpu", Fallbacks: 1}) {
				t.Errorf("afterwards: got %+v, want the cpu by one fallback", got)
			}
			if n := strings.Count(log.String(), "[ERROR] engine: the device is lost, batches are judged on the CPU from now on"); n != 1 {
				t.Errorf("said so %d times, want once: %s", n, log)
			}
			record(t, e, outcomes(normal(5, 4, 8), 8))
			record(t, onCPU, outcomes(normal(5, 4, 8), 8))
			wantSame(t, "afterwards", validate(t, e, deviceBatch(4)), validate(t, onCPU, deviceBatch(4)))
			again, _ := deviceEngine(t, "auto")
			if got := again.DeviceName(); got != "cpu" {
				t.Errorf("an engine opened afterwards is on %s, want cpu", got)
			}
		})
	}
}

// What is recorded is durable, whether the device can show it or not.
func TestADeviceThatIsLostOverRecording(t *testing.T) {
	// Projecting is one step; the rows of each side are one.
	for _, step := range steps("lost:1", "lost:2", "lost:3") {
		t.Run(step, func(t *testing.T) {
			if !withDevice(t) {
				return
			}
			onCPU, _ := deviceEngine(t, "cpu")
			e, _ := deviceEngine(t, "auto")
			more := outcomes(normal(6, 4, 8), 8)
			t.Setenv(deviceFault, step)
			_, err := e.Record(t.Context(), more)
			switch {
			case step == "lost:1" && !errors.Is(err, torch.ErrDeviceLost):
				t.Errorf("projecting: got %v, want a lost device", err)
			case step != "lost:1" && err != nil:
				t.Errorf("showing: got %v, want no error", err)
			}
			if err == nil {
				record(t, onCPU, more)
			}
			wantSame(t, "afterwards", validate(t, e, deviceBatch(2)), validate(t, onCPU, deviceBatch(2)))
			if got := e.DeviceStats(); got != (engine.DeviceStats{Device: "cpu", Fallbacks: 1}) {
				t.Errorf("afterwards: got %+v, want the cpu by one fallback", got)
			}
		})
	}
}

func TestADeviceThatIsLostOverOpening(t *testing.T) {
	for _, step := range steps("lost:1", "lost:2") {
		t.Run(step, func(t *testing.T) {
			if !withDevice(t) {
				return
			}
			t.Setenv(deviceFault, step)
			e, _ := deviceEngine(t, "auto")
			validate(t, e, deviceBatch(2))
			if got := e.DeviceStats(); got != (engine.DeviceStats{Device: "cpu", Fallbacks: 1}) {
				t.Errorf("opened: got %+v, want the cpu by one fallback", got)
			}
			config := inMemory(8)
			config.Engine.Device = "cuda"
			if e, err := engine.Open(t.Context(), config, engine.InMemory(), engine.WithLibrary(library)); !errors.Is(err, torch.ErrDeviceLost) {
				t.Errorf("opened on a lost device: got %v, %v", e, err)
			}
		})
	}
}

// Who asks for a device gets it or an error, the same for every call.
func TestALostDeviceThatWasAskedFor(t *testing.T) {
	if !withDevice(t) {
		return
	}
	e, log := deviceEngine(t, "cuda")
	validate(t, e, deviceBatch(2))
	t.Setenv(deviceFault, "lost:3")
	_, first := e.Validate(t.Context(), deviceBatch(3))
	if !errors.Is(first, torch.ErrDeviceLost) || strings.Contains(first.Error(), "CPU") {
		t.Fatalf("got %v, want a lost device and no word of the CPU", first)
	}
	t.Setenv(deviceFault, "none")
	for range 2 {
		if _, err := e.Validate(t.Context(), deviceBatch(2)); err == nil || err.Error() != first.Error() {
			t.Errorf("a later batch: got %v, want %v", err, first)
		}
	}
	if _, err := e.Record(t.Context(), outcomes(normal(6, 1, 8), 8)); !errors.Is(err, torch.ErrDeviceLost) {
		t.Errorf("recording: got %v, want a lost device", err)
	}
	if _, _, err := e.State(t.Context()); err != nil {
		t.Errorf("reading the state, which is on the host: %v", err)
	}
	if got := e.DeviceStats(); got != (engine.DeviceStats{Device: "cuda:0"}) {
		t.Errorf("got %+v, want cuda:0 and no fallback", got)
	}
	if !strings.Contains(log.String(), "nothing can be judged until this program starts anew") {
		t.Errorf("nothing says so: %s", log)
	}
}

// What takes nothing into the memory needs no device: people can deny, drop and
// tighten when it is lost. What does need one fails, and changes nothing.
func TestPeopleDecideWithoutADevice(t *testing.T) {
	if !withDevice(t) {
		return
	}
	config := onDisk(t)
	config.Engine.Device = "cuda"
	config.Monitor.ErrorRate = 1
	e := open(t, config)
	d := e.Directory()
	record(t, e, outcomes(normal(1, 40, 8), 8))
	saved, err := d.Save(t.Context(), "command")
	if err != nil {
		t.Fatal(err)
	}
	rows := normal(2, 4, 8)
	held := hold(t, d, rows)
	waiting := ask(t, d, asks(rows, "a", "b", "c"))
	if _, err := d.Restore(t.Context(), saved.Manifest.Sequence, "ada", ""); err != nil { // its patterns are not on the device yet
		t.Fatal(err)
	}
	t.Setenv(deviceFault, "lost:1")
	if _, err := e.Validate(t.Context(), deviceBatch(2)); !errors.Is(err, torch.ErrDeviceLost) {
		t.Fatalf("a batch: got %v, want a lost device", err)
	}
	t.Setenv(deviceFault, "none")
	before := whole(d) + queue(t, d)
	for name, try := range map[string]func() error{
		"accept": func() error {
			_, err := d.Release(t.Context(), held[:1], true, "ada", "")
			return err
		},
		"approve and record": func() error {
			_, err := d.Decide(t.Context(), []int64{waiting[0].ID}, true, true, "ada", "")
			return err
		},
		"record": func() error {
			_, err := e.Record(t.Context(), outcomes(rows, 8))
			return err
		},
	} {
		if err := try(); !errors.Is(err, torch.ErrDeviceLost) {
			t.Errorf("%s: got %v, want a lost device", name, err)
		}
	}
	if got := whole(d) + queue(t, d); got != before {
		t.Errorf("what failed changed something: got\n%s\nwant\n%s", got, before)
	}
	on := true
	for name, try := range map[string]func() error{
		"drop": func() error {
			_, err := d.Release(t.Context(), held[1:3], false, "ada", "")
			return err
		},
		"deny": func() error {
			_, err := d.Decide(t.Context(), []int64{waiting[1].ID}, false, false, "ada", "")
			return err
		},
		"approve": func() error {
			_, err := d.Decide(t.Context(), []int64{waiting[2].ID}, true, false, "ada", "")
			return err
		},
		"ask": func() error {
			_, err := d.AskApproval(t.Context(), asks(rows[:8], "d"), "agent")
			return err
		},
		"lever": func() error {
			_, err := d.PullLever(t.Context(), engine.LeverChange{SafeMode: &on, By: "ada"})
			return err
		},
	} {
		if err := try(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := len(d.Quarantine()); got != len(held)-2 {
		t.Errorf("%d are held, want %d", got, len(held)-2)
	}
}

func TestABatchOnADeviceAllocatesNothingInGo(t *testing.T) {
	if !withDevice(t) {
		return
	}
	e, _ := deviceEngine(t, "auto")
	batch, out := deviceBatch(2), make([]engine.Verdict, 300)
	if allocs := testing.AllocsPerRun(50, func() {
		if err := e.ValidateInto(t.Context(), batch, out); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations a batch, want 0", allocs)
	}
}

func TestTooLittleDeviceMemory(t *testing.T) {
	if !withDevice(t) {
		return
	}
	onCPU, _ := deviceEngine(t, "cpu")
	e, log := deviceEngine(t, "auto")
	big := func(seed uint64) engine.Batch { return engine.Batch{Embeddings: normal(seed, 3000, 8), Width: 8} }
	for seed := range uint64(3) {
		t.Setenv(deviceFault, []string{"memory:1600", "memory:1000", "memory:1000"}[seed])
		wantSame(t, "in smaller tiles", validate(t, e, big(seed)), validate(t, onCPU, big(seed)))
	}
	if got := e.DeviceStats(); got != (engine.DeviceStats{Device: "cuda:0", OutOfMemory: 2}) {
		t.Errorf("got %+v, want cuda:0, which was short of memory twice", got)
	}
	if n := strings.Count(log.String(), "too little memory"); n != 1 {
		t.Errorf("said so %d times, want once: %s", n, log)
	}
	t.Setenv(deviceFault, "memory:100")
	var short *torch.Error
	if _, err := e.Validate(t.Context(), big(4)); !errors.As(err, &short) || short.Code != torch.OutOfMemory {
		t.Errorf("below the least tile: got %v, want out of memory", err)
	}
	t.Setenv(deviceFault, "none")
	wantSame(t, "with memory again", validate(t, e, big(5)), validate(t, onCPU, big(5)))
}
