package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine"
)

func (a *app) doctorCommand() *cobra.Command {
	var after bool
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Test this installation, before deployment and after",
		Long: `Runs the deployment checklists as self-tests, a line each with what to type, and
exits 0 only if all hold; a warning is no failure. Before deployment: LibTorch, the
device, keys, the data directory, disk and clock, checkpoints, audit log and
journal, safety settings, where alerts go, and a round trip (record, judge, reopen,
judge again), which runs in a temporary directory with a key of its own. With
--after, or while a process has the data directory open, also how it fares in use:
checkpoint age, journal length, signatures of the audit log, levers, quarantine,
approvals, memory. It makes no key, takes no lock and leaves nothing in the data directory.`,
		Example: "  fdqc doctor\n  fdqc doctor --data-dir /var/lib/fdqc --device cuda\n  fdqc doctor --after",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if after {
				if err := present(&config); err != nil {
					return err
				}
			}
			d := &doctor{app: a, config: config, now: time.Now, after: after}
			return d.run(c.Context())
		},
	}
	command.Flags().BoolVar(&after, "after", false, "look also at how a data directory fares in use")
	return command
}

// doctor runs checks until all have run, and remembers the failures.
type doctor struct {
	*app
	config   engine.Config
	now      func() time.Time
	after    bool // look at it in use, whether anybody has it open or not
	owned    bool // somebody has
	library  *torch.Library
	failures []error
}

func (d *doctor) run(ctx context.Context) error {
	d.check("libtorch", d.libtorch)
	if d.library != nil {
		defer d.library.Close()
		d.check("device", d.device)
	}
	d.check("keys", d.keys)
	d.check("data directory", d.dataDirectory)
	d.check("disk", d.disk)
	d.check("clock", d.clock)
	d.check("lock", func() (string, error) { return d.locked(ctx) })
	d.check("checkpoints", d.checkpoints)
	d.check("journal sync", d.journalSync)
	d.check("safety", d.safety)
	d.check("alerts", d.alerts)
	if d.library != nil {
		d.check("round trip", func() (string, error) { return d.roundTrip(ctx) })
	}
	if d.after || d.owned {
		d.deployed()
	}
	if len(d.failures) > 0 {
		return fmt.Errorf("doctor: %d of the checks failed: %w", len(d.failures), d.failures[0])
	}
	return nil
}

// warning is what a check found that is no failure.
type warning struct{ text string }

func (w *warning) Error() string { return w.text }

func (d *doctor) check(name string, test func() (string, error)) {
	found, err := test()
	mark := "ok"
	var w *warning
	switch {
	case errors.As(err, &w):
		mark, found = "warn", w.text
	case err != nil:
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
	found := fmt.Sprintf("%s (asked: %s)", device, d.config.Engine.Device)
	if err != nil || device == torch.CPU {
		return found, err
	}
	// States are what kernels are made and checked for.
	zeros := make([]float32, d.config.Safety.WorkspaceDim)
	states, err := d.library.NewStates(context.Background(), device, len(zeros), zeros, zeros)
	if err != nil {
		return found, err
	}
	info, err := d.library.DeviceInfo(device)
	return found + ", " + info.Kernels, errors.Join(err, states.Close())
}

// keys looks at the signing key and the trusted ones. An absent signing key is
// fine: the first write makes it.
func (d *doctor) keys() (string, error) {
	path, trustedPath, err := engine.KeyFiles(&d.config)
	if err != nil {
		return "", err
	}
	found := path + " is absent; the first write makes it"
	var age time.Duration
	key, err := signing.LoadKey(path)
	switch {
	case err == nil:
		found = fmt.Sprintf("key %s in %s", key.KeyID(), path)
		if info, err := os.Stat(path); err == nil {
			age = d.now().Sub(info.ModTime())
			found += fmt.Sprintf(", %d days old", age/(24*time.Hour))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	trusted, err := signing.LoadTrusted(trustedPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for i, line := range d.config.Persistence.TrustedKeys {
		t, err := signing.ParseTrusted(line)
		if err != nil {
			return "", usagef("persistence.trusted_keys: entry %d: %w", i+1, err)
		}
		trusted = append(trusted, t)
	}
	if _, err := signing.NewRing(trusted...); err != nil {
		return "", err
	}
	found += ", " + plural(int64(len(trusted)), "trusted key")
	if within(d.config.Persistence.Dir, path) {
		return "", &warning{path + " lies in the data directory: who can write there can sign; set persistence.signing_key_file"}
	}
	if !d.config.Safety.RequireSigning {
		return "", &warning{"safety.require_signing is false: unsigned checkpoints are taken; " + found}
	}
	if age > oldKey {
		return "", &warning{found + "; fdqc checkpoint keygen --rotate"}
	}
	return found, nil
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
	}
	if err := private(dir, info); err != nil {
		return "", err
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return "", fmt.Errorf("data directory is not writable: %w", err)
	}
	return dir + " is private and writable", errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// checkpoints verifies all that the data directory holds, journal included.
func (d *doctor) checkpoints() (string, error) {
	if _, err := os.Stat(d.config.Persistence.Dir); errors.Is(err, fs.ErrNotExist) {
		return "none yet", nil
	}
	v := &verification{config: d.config, logger: d.logger(&d.config)}
	v.run()
	if err := v.failure(); err != nil {
		return "", err
	}
	var found []string
	for _, p := range v.parts[len(v.parts)-3:] { // audit log, journal and opening
		found = append(found, strings.TrimSpace(fmt.Sprintf("%s %s: %s", p.Name, p.State, p.Detail)))
	}
	return fmt.Sprintf("%d parts verified; %s", len(v.parts), strings.Join(found, "; ")), nil
}

func (d *doctor) journalSync() (string, error) {
	switch mode := journal.SyncMode(d.config.Persistence.JournalSync); mode {
	case journal.SyncAlways:
		took, err := d.fsync()
		return fmt.Sprintf("always: what is acknowledged is on the disk; a sync there takes %v", took.Round(time.Microsecond)), err
	default:
		return "", &warning{fmt.Sprintf("persistence.journal_sync is %s: a power failure can lose acknowledged outcomes, receipts say durable: false", mode)}
	}
}

// fsync writes a page beside the data directory's files, syncs and removes it.
func (d *doctor) fsync() (took time.Duration, err error) {
	probe, err := os.CreateTemp(existing(d.config.Persistence.Dir), ".doctor-*")
	if err != nil {
		return 0, fmt.Errorf("the disk takes no file: %w", err)
	}
	defer func() { err = errors.Join(err, probe.Close(), os.Remove(probe.Name())) }()
	if _, err = probe.Write(make([]byte, os.Getpagesize())); err == nil {
		start := time.Now()
		err = probe.Sync()
		took = time.Since(start)
	}
	return took, err
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
	config.Persistence.Dir = filepath.Join(dir, "data")
	config.Persistence.SigningKeyFile = filepath.Join(dir, "signing.key")
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
