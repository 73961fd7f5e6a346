package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/engine"
)

func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show and verify the log of what was done to a data directory",
		Long: `Every change of the memory, of safety levers, checkpoints and safety settings is
in the audit log of the data directory: what, when, who and why. Each entry holds
the hash of the one before, signatures cover all before them, and checkpoints name
the entry that they came after. Nothing needs the lock, and nothing is written.`,
		Example: "  fdqc audit show --last 20\n  fdqc audit verify --data-dir fdqc-data",
		RunE:    needsSubcommand,
	}
	c.AddCommand(a.auditShowCommand(), a.auditVerifyCommand(), a.auditRestartCommand())
	return c
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var asJSON bool
	var head string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Verify the audit log, and compare it with checkpoints and journal",
		Long: `Reads the whole log and says which entry was changed, dropped, reordered, repeated
or cut, in which file and line. Compares it with every kept checkpoint, each of
which names the entry that it came after, and with the journal, which must reach
as far as the log says. Times may go back, as clocks do. Exit code 3 when anything
does not verify.

That entries are missing at the very end, after the newest checkpoint, shows by the
log not being closed; so it does while a writer has it open, and after a crash,
when the next writer puts down again what is missing. --head demands an entry that
was the last one before (last_sequence and last_hash of --json), kept elsewhere: so
an older state that was put back whole is found.`,
		Example: "  fdqc audit verify --data-dir fdqc-data\n  fdqc audit verify --json\n  fdqc audit verify --head 1204:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			kept, err := parseHead(head)
			if err != nil {
				return err
			}
			report, err := verifyAudit(config, a.logger(&config), kept...)
			if err != nil {
				return asInput(err)
			}
			if asJSON {
				return printJSON(a.out, auditJSON(report))
			}
			for _, line := range auditLines(report) {
				fmt.Fprintln(a.out, line)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&head, "head", "", "an `entry` that the log must hold: sequence:hash")
	return c
}

// parseHead reads sequence:hash; "" is none.
func parseHead(text string) ([]audit.Known, error) {
	if text == "" {
		return nil, nil
	}
	sequence, hash, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(sequence, 10, 64)
	if sum, bad := hex.DecodeString(hash); err != nil || n < 1 || bad != nil || len(sum) != sha256.Size {
		return nil, usagef("--head is %.100q, expected a sequence and a hash such as last_sequence:last_hash of --json", text)
	}
	return []audit.Known{{Head: audit.Head{Sequence: n, Hash: strings.ToLower(hash)}, From: "--head"}}, nil
}

func (a *app) auditRestartCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "restart --reason TEXT",
		Short: "Give up an audit log that no longer verifies, and begin another",
		Long: `A data directory whose audit log does not verify is not opened for writing. Look
first at what "audit verify" says, and keep a copy: this moves the log below
set-aside as it is, and begins another one after the last entry that a checkpoint
names, with who did it and why. No process may have the directory open.`,
		Example: "  fdqc audit verify\n  fdqc audit restart --reason \"disk error, ticket 4711\"",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			aside, err := engine.RestartAudit(config, engine.UserName(uint32(os.Geteuid())), reason, engine.WithLogger(a.logger(&config)))
			if err != nil {
				return asInput(err)
			}
			if aside == "" {
				aside = "nowhere: there was none"
			}
			_, err = fmt.Fprintf(a.out, "the log that was given up: %s\n", aside)
			return err
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	required(c, "reason")
	return c
}

// verifyAudit reads again what a writer beside may have been at.
func verifyAudit(config engine.Config, logger hclog.Logger, kept ...audit.Known) (report engine.AuditReport, err error) {
	for range readAttempts {
		report, err = engine.VerifyAudit(config, logger, kept...)
		if err == nil && report.Torn == 0 {
			break
		}
	}
	return report, err
}

// auditSummary is what verify and doctor say of a log that verifies.
type auditSummary struct {
	Files             int       `json:"files"`
	Entries           int       `json:"entries"`
	Signatures        int       `json:"signatures"`
	SignedThrough     int64     `json:"signed_through"`
	SignedAt          time.Time `json:"signed_at,omitzero"`
	LastSequence      int64     `json:"last_sequence"`
	LastHash          string    `json:"last_hash"`
	Journal           int64     `json:"journal"`
	Checkpoint        int64     `json:"checkpoint"`
	Known             int       `json:"checkpoints_that_fit"`
	JournalBehind     int64     `json:"journal_behind"`
	CheckpointsBehind int       `json:"checkpoints_behind"`
	UnfinishedBytes   int64     `json:"unfinished_bytes"`
	Closed            bool      `json:"closed"`
	Restarted         string    `json:"restarted,omitzero"`
}

func auditJSON(r engine.AuditReport) auditSummary {
	return auditSummary{
		Files: r.Files, Entries: r.Entries, Signatures: r.Signatures, SignedThrough: r.SignedThrough, SignedAt: r.SignedAt,
		LastSequence: r.Head.Sequence, LastHash: r.Head.Hash, Journal: r.Head.Journal, Checkpoint: r.Head.Checkpoint,
		Known: r.Known, JournalBehind: r.JournalBehind, CheckpointsBehind: r.CheckpointsBehind, UnfinishedBytes: r.Torn, Closed: r.Closed, Restarted: r.Restarted,
	}
}

func auditLines(r engine.AuditReport) []string {
	if r.Entries == 0 {
		return []string{"there is no audit log yet; the next writer begins one"}
	}
	lines := []string{
		fmt.Sprintf("the audit log verifies: %s in %s, complete up to journal record %d and checkpoint %d",
			plural(int64(r.Entries), "line"), plural(int64(r.Files), "file"), r.Head.Journal, r.Head.Checkpoint),
		fmt.Sprintf("%s; the last covers entry %d of %d", plural(int64(r.Signatures), "signature"), r.SignedThrough, r.Head.Sequence),
		fmt.Sprintf("it holds the entry that each of %s came after", plural(int64(r.Known), "kept checkpoint")),
	}
	return append(lines, auditRemarks(r)...)
}

// auditRemarks say what is no failure and worth knowing.
func auditRemarks(r engine.AuditReport) []string {
	var lines []string
	if r.Torn > 0 {
		lines = append(lines, fmt.Sprintf("%s ends in %d bytes of a line that was never completed", plain(r.TornPath), r.Torn))
	}
	if r.JournalBehind > 0 || r.CheckpointsBehind > 0 {
		lines = append(lines, fmt.Sprintf("not in it yet: %s and %s; the writer puts them down, or the next one",
			plural(r.JournalBehind, "journal record"), plural(int64(r.CheckpointsBehind), "checkpoint")))
	}
	if r.Restarted != "" {
		lines = append(lines, fmt.Sprintf("it begins with entry %d, the log before it was given up: %s", r.First, plain(r.Restarted)))
	}
	if !r.Closed {
		lines = append(lines, "it is not closed: a writer has it open, or ended without closing it, or its end was cut")
	}
	return lines
}

func (a *app) auditShowCommand() *cobra.Command {
	var o struct {
		since  string
		events []string
		last   int
		asJSON bool
	}
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the entries of the audit log, oldest first",
		Long: `Shows what was done, when, by whom and why, up to the end or to the first entry that
does not verify, which is an error. Signatures and the first lines of files are
left out unless --event names them (signed, file).`,
		Example: "  fdqc audit show --last 20\n  fdqc audit show --event levers,replaced --since 24h\n  fdqc audit show --since 2026-03-01T00:00:00Z --json",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			since, err := parseSince(o.since, time.Now())
			if err != nil {
				return err
			}
			if o.last < 0 {
				return usagef("--last is %d, expected a number of entries", o.last)
			}
			s := &auditShow{out: a.out, asJSON: o.asJSON, since: since, events: o.events, last: o.last}
			_, err = engine.ReadAudit(config, a.logger(&config), s.entry)
			if shown := s.finish(); shown != nil {
				return shown
			}
			return asInput(err)
		},
	}
	f := c.Flags()
	f.StringVar(&o.since, "since", "", "only entries from a `time` on, RFC 3339, or within a duration such as 24h")
	f.StringSliceVar(&o.events, "event", nil, "only these `events`")
	f.IntVar(&o.last, "last", 0, "only the last `entries` of these; 0: all")
	f.BoolVar(&o.asJSON, "json", false, "print JSON lines")
	return c
}

// parseSince reads a time, or a duration before now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("--since is %q, expected a time such as 2026-03-01T00:00:00Z or a duration such as 24h", text)
	}
	return at, nil
}

// auditShow prints entries as they come, or the last ones at the end.
type auditShow struct {
	out    io.Writer
	asJSON bool
	since  time.Time
	events []string
	last   int
	kept   []audit.Entry
	table  *tabwriter.Writer
}

func (s *auditShow) entry(e *audit.Entry) error {
	own := e.Event == audit.EventFile || e.Event == audit.EventSigned
	switch {
	case e.Time.Before(s.since):
		return nil
	case len(s.events) == 0 && own, len(s.events) > 0 && !slices.Contains(s.events, e.Event):
		return nil
	case s.last == 0:
		return s.print(e)
	}
	if len(s.kept) == s.last {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, *e)
	return nil
}

func (s *auditShow) finish() error {
	for i := range s.kept {
		if err := s.print(&s.kept[i]); err != nil {
			return err
		}
	}
	if s.table != nil {
		return s.table.Flush()
	}
	return nil
}

func (s *auditShow) print(e *audit.Entry) error {
	if s.asJSON {
		return json.NewEncoder(s.out).Encode(struct {
			*audit.Entry
			Hash string `json:"hash"`
		}{e, e.Hash})
	}
	if s.table == nil {
		s.table = tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(s.table, "ENTRY\tTIME\tEVENT\tWHO\tWHAT")
	}
	who, what := "-", auditWords(e.Data)
	if e.Who != "" {
		who = plain(e.Who)
	}
	if e.Why != "" {
		what = strings.TrimSpace(what + "  because: " + plain(e.Why))
	}
	_, err := fmt.Fprintf(s.table, "%d\t%s\t%s\t%s\t%s\n", e.Sequence, e.Time.Format(time.RFC3339), plain(e.Event), who, what)
	return err
}

// auditWords are the members of an object, in its order, as "name value".
func auditWords(data []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return ""
	}
	var words []string
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			break
		}
		words = append(words, fmt.Sprintf("%v %s", name, value))
	}
	return plain(strings.Join(words, ", "))
}
