package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

func (a *app) verifyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read and verify everything that a data directory holds",
		Long: `Reads every checkpoint with its manifest, validator_state.pt, projections.pt and
the whole audit log and journal, and opens the directory for reading as validate would. Nothing
is moved or repaired, and no lock is waited for. Exit code 3 when anything does
not verify.`,
		Example: "  fdqc checkpoint verify --data-dir fdqc-data\n  fdqc checkpoint verify --json",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			v := &verification{config: config, logger: a.logger(&config)}
			v.run()
			if asJSON {
				err = printJSON(a.out, v.parts)
			} else {
				t := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
				for _, p := range v.parts {
					fmt.Fprintf(t, "%s\t%s\t%s\n", p.State, plain(p.Name), plain(p.Detail))
				}
				err = t.Flush()
			}
			return errors.Join(v.failure(), err)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// part is one thing in a data directory that verifies or does not.
type part struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, absent, unsigned, damaged, untrusted or failed
	Detail string `json:"detail"`
	err    error
}

// verification looks at everything in a data directory, and changes nothing.
type verification struct {
	config engine.Config
	logger hclog.Logger
	parts  []part
}

func (v *verification) run() {
	files, err := engine.OpenStore(v.config, v.logger)
	if err != nil {
		v.add("keys", "", err)
		return
	}
	v.checkpoints(files)
	v.file(files, store.StateFile, func(path string, data []byte) error {
		_, err := checkpoints.ParseValidatorState(path, data)
		return err
	})
	v.file(files, store.ProjectionsFile, func(path string, data []byte) error {
		_, err := checkpoints.ParseProjections(path, data)
		return err
	})
	v.audit()
	v.journal()
	v.opening()
}

func (v *verification) audit() {
	const name = "audit log"
	report, err := verifyAudit(v.config, v.logger)
	if err == nil && report.Entries == 0 {
		v.parts = append(v.parts, part{Name: name, State: "absent", Detail: "the next writer begins one"})
		return
	}
	detail := fmt.Sprintf("%s in %s, %s, up to journal record %d and checkpoint %d",
		plural(int64(report.Entries), "line"), plural(int64(report.Files), "file"), plural(int64(report.Signatures), "signature"), report.Head.Journal, report.Head.Checkpoint)
	v.add(name, strings.Join(append([]string{detail}, auditRemarks(report)...), "; "), err)
}

// add puts down what was found; an error makes the state.
func (v *verification) add(name, detail string, err error) {
	p := part{Name: name, State: "ok", Detail: detail, err: err}
	switch {
	case err == nil:
	case errors.Is(err, store.ErrUntrusted), errors.Is(err, journal.ErrUntrusted), errors.Is(err, audit.ErrUntrusted):
		p.State = "untrusted"
	case unverified(err):
		p.State = "damaged"
	default:
		p.State = "failed"
	}
	if err != nil {
		p.Detail = oneLine(err)
	}
	v.parts = append(v.parts, p)
}

// failure is nil when everything verifies.
func (v *verification) failure() error {
	var first error
	count := 0
	for _, p := range v.parts {
		if p.err == nil {
			continue
		}
		count++
		if first == nil || unverified(p.err) && !unverified(first) {
			first = p.err
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%d of %d parts of %s do not verify: %w", count, len(v.parts), v.config.Persistence.Dir, first)
}

func (v *verification) checkpoints(files *store.Store) {
	list, err := files.Verify()
	if err != nil {
		v.add("checkpoints", "", err)
		return
	}
	if len(list) == 0 {
		v.parts = append(v.parts, part{Name: "checkpoints", State: "absent", Detail: "the first write makes one"})
	}
	for _, c := range list {
		if errors.Is(c.Problem, store.ErrNoManifest) && !v.config.Safety.RequireSigning {
			set, err := files.Read(c)
			if err != nil {
				v.add(c.Name, "", err)
				continue
			}
			v.parts = append(v.parts, part{Name: c.Name, State: "unsigned", Detail: fmt.Sprintf("no manifest, %v", set)})
			continue
		}
		detail := ""
		if m := c.Manifest; m != nil {
			detail = fmt.Sprintf("sequence %d, %d safe and %d unsafe patterns, signed by %s", m.Sequence, m.Safe, m.Unsafe, c.KeyID)
			if !c.Signed {
				detail = fmt.Sprintf("sequence %d, %d safe and %d unsafe patterns, not signed by a trusted key", m.Sequence, m.Safe, m.Unsafe)
			}
		}
		v.add(c.Name, detail, c.Problem)
	}
}

func (v *verification) file(files *store.Store, name string, parse func(string, []byte) error) {
	data, m, err := files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !unverified(err) {
		v.parts = append(v.parts, part{Name: name, State: "absent"})
		return
	}
	if err == nil {
		err = parse(filepath.Join(v.config.Persistence.Dir, name), data)
	}
	detail := fmt.Sprintf("%d bytes", len(data))
	if m == nil && err == nil {
		v.parts = append(v.parts, part{Name: name, State: "unsigned", Detail: detail + ", no manifest"})
		return
	}
	v.add(name, detail, err)
}

// readAttempts is how often something is read again that a writer beside may
// have changed meanwhile.
const readAttempts = 3

func (v *verification) journal() {
	const name = "journal"
	var found journal.Recovery
	var err error
	for range readAttempts {
		if found, err = engine.VerifyJournal(v.config, v.logger); err == nil {
			break
		}
	}
	if errors.Is(err, journal.ErrMissing) && !errors.Is(err, journal.ErrDamaged) {
		// Whether it should be there, opening tells.
		v.parts = append(v.parts, part{Name: name, State: "absent"})
		return
	}
	detail := fmt.Sprintf("%s in %s, %d of %s signed", plural(int64(found.Records), "record"), plural(int64(found.Segments), "segment"), found.Signed, plural(int64(found.Commits), "commit"))
	if found.CutBytes > 0 {
		detail += fmt.Sprintf(", then %d bytes of a commit that nobody was told of", found.CutBytes)
	}
	v.add(name, detail, err)
}

// opening replays the journal on the newest checkpoint, as a reader does.
func (v *verification) opening() {
	const name = "opening"
	d, err := engine.OpenDirectory(v.config, engine.ReadOnly(), engine.AnyCapacity(), engine.WithLogger(v.logger))
	if err != nil {
		v.add(name, "", err)
		return
	}
	stats, recovered := d.Stats(), d.Recovered()
	v.add(name, fmt.Sprintf("%d safe and %d unsafe patterns, %s replayed",
		stats.Patterns[memory.Safe], stats.Patterns[memory.Unsafe], plural(recovered.Replayed, "journal record")), d.Close())
}
