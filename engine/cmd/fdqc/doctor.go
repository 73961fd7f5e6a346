package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Test this installation: LibTorch, device, data directory, a round trip",
		Long: `Runs the deployment checklist as self-tests and exits 0 only if all hold. It
writes nothing into the data directory: the round trip (record, judge, reopen,
judge again) runs in a temporary one.`,
		Example: "  fdqc doctor\n  fdqc doctor --data-dir /var/lib/fdqc --device cuda",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			d := &doctor{app: a, config: config}
			return d.run(c.Context())
		},
	}
}

// doctor runs checks until all have run, and remembers the failures.
type doctor struct {
	*app
	config   engine.Config
	library  *torch.Library
	failures []error
}

func (d *doctor) run(ctx context.Context) error {
	d.check("libtorch", d.libtorch)
	if d.library != nil {
		defer d.library.Close()
		d.check("device", d.device)
	}
	d.check("data directory", d.dataDirectory)
	d.check("checkpoint", d.checkpoint)
	if d.library != nil {
		d.check("round trip", func() (string, error) { return d.roundTrip(ctx) })
	}
	if len(d.failures) > 0 {
		return fmt.Errorf("doctor: %d of the checks failed: %w", len(d.failures), d.failures[0])
	}
	return nil
}

func (d *doctor) check(name string, test func() (string, error)) {
	found, err := test()
	mark := "ok"
	if err != nil {
		mark, found = "FAILED", oneLine(err)
		d.failures = append(d.failures, err)
	}
	fmt.Fprintf(d.out, "%-6s  %-14s  %s\n", mark, name, found)
}

func (d *doctor) libtorch() (string, error) {
	library, err := torch.Open(torch.Options{Threads: d.config.Engine.Threads})
	if err != nil {
		return "", err
	}
	d.library = library
	info, err := library.Info()
	return fmt.Sprintf("%s at %s, %s, %d threads", info.LibTorchVersion, info.LibTorchPath, info.CPUCapability, info.Threads), err
}

func (d *doctor) device() (string, error) {
	device, err := d.library.Device(d.config.Engine.Device)
	return fmt.Sprintf("%s (asked: %s)", device, d.config.Engine.Device), err
}

func (d *doctor) dataDirectory() (string, error) {
	dir := d.config.Persistence.Dir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dir + " is absent; the first record makes it", nil
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", usagef("%s is no directory", dir)
	case info.Mode().Perm()&0o077 != 0:
		return "", usagef("%s has mode %04o, expected 0700; run: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return "", fmt.Errorf("data directory is not writable: %w", err)
	}
	return dir + " is private and writable", errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (d *doctor) checkpoint() (string, error) {
	path, found, err := checkpoints.LatestPatterns(d.config.Persistence.Dir)
	if err != nil || !found {
		return "none yet", err
	}
	set, err := checkpoints.ReadPatterns(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", filepath.Base(path), set), nil
}

// roundTrip records, judges, opens again and judges again in a directory of
// its own, with the settings in force.
func (d *doctor) roundTrip(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "fdqc-doctor-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	config := d.config
	config.Persistence.Dir = dir
	n := config.Safety.WorkspaceDim
	embedding := make([]float32, n)
	for i := range embedding {
		embedding[i] = float32(math.Sin(float64(i + 1)))
	}
	var first float32
	for pass := range 2 {
		e, err := engine.Open(ctx, config, engine.WithLibrary(d.library))
		if err != nil {
			return "", err
		}
		if pass == 0 {
			_, err = e.Record(ctx, []engine.Outcome{{Embedding: embedding, IsSafe: true}})
		}
		var verdicts []engine.Verdict
		if err == nil {
			verdicts, err = e.Validate(ctx, engine.Batch{Embeddings: embedding, Width: n})
		}
		if err = errors.Join(err, e.Close()); err != nil {
			return "", err
		}
		v := &verdicts[0]
		switch {
		case v.SafeSimilarity != 1 || v.NearestSafe != 1:
			return "", fmt.Errorf("a recorded action has similarity %v to pattern %d, expected 1 to pattern 1", v.SafeSimilarity, v.NearestSafe)
		case pass == 0:
			first = v.RawRisk
		case v.RawRisk != first:
			return "", fmt.Errorf("risk is %v after opening again, %v before", v.RawRisk, first)
		}
	}
	return fmt.Sprintf("recorded, judged, opened again, judged the same (risk %.3f)", first), nil
}
