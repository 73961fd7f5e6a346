package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// maxAsked is how many bytes of actions and rows, as JSON, go into one request;
// the socket takes a MiB, and one action and its row always fit.
const maxAsked = 512 << 10

// asker puts what needs a person into the queue of the data directory.
type asker struct {
	app     *app
	command *cobra.Command

	waiting, decided, refused int64
	why                       string // of the last one that was refused
}

// ask takes the rows of a batch whose answers are there and nobody's else's
// yet. It returns when they wait durably.
func (k *asker) ask(ctx context.Context, j *judge, batch *rows.RowBatch, a *answers) error {
	var asks []engine.Ask
	var flat engine.Batch
	for i := range a.results {
		v, judged := a.results[i].Texts.(*engine.Verdict)
		if !judged || v.Decision != engine.Review || !v.RequiresHuman {
			continue
		}
		ask, values := v.AskFor(), batch.Numbers(i, i+1)
		ask.Row = batch.ID(i).String()
		if batch.Bare() == 0 {
			e := &batch.Entries[i]
			ask.Action, ask.Session, ask.Source = e.Action, e.Session, e.Source
			values, _, _ = j.embedding(e) // it was judged by it
		}
		if len(ask.Action) > engine.MaxAskedAction {
			k.refused++
			k.why = fmt.Sprintf("an action of %d bytes, expected at most %d", len(ask.Action), engine.MaxAskedAction)
			continue
		}
		asks = append(asks, ask)
		flat.Embeddings, flat.Widths = append(flat.Embeddings, values...), append(flat.Widths, len(values))
	}
	if len(asks) == 0 {
		return nil
	}
	workspace, err := j.engine.Workspace(ctx, flat)
	if err != nil {
		return err
	}
	n := len(workspace) / len(asks)
	for from, to := 0, 0; from < len(asks); from = to {
		for bytes := 0; to < len(asks); to++ {
			a := &asks[to]
			a.Workspace = workspace[to*n : (to+1)*n]
			quoted, err := json.Marshal(a.Action)
			if err != nil {
				return fmt.Errorf("ask for approval: %w", err)
			}
			if bytes += len(quoted) + len(a.Session) + len(a.Source) + 16*n + 1024; bytes > maxAsked && to > from {
				break
			}
		}
		if err := k.send(asks[from:to]); err != nil {
			return fmt.Errorf("ask for approval: %w", err)
		}
	}
	return nil
}

func (k *asker) send(asks []engine.Ask) error {
	return k.app.withOperator(k.command, true, func(ctx context.Context, o control.Operator) error {
		answered, err := o.Ask(ctx, control.AskRequest{Asks: asks})
		if err != nil {
			return err
		}
		for _, a := range answered.Answers {
			switch {
			case a.Refused != "":
				k.refused++
				k.why = a.Refused
			case a.State == engine.Pending:
				k.waiting++
			default:
				k.decided++
			}
		}
		return nil
	})
}

// summary tells a person what waits. What could not be put into the queue is
// said even when little is: nobody can approve it.
func (k *asker) summary() {
	if k.refused > 0 {
		fmt.Fprintf(k.app.err, "fdqc: %s could not be put into the queue, so nobody can approve them: %s\n", plural(k.refused, "action"), plain(k.why))
	}
	if k.app.flags.quiet || k.waiting+k.decided == 0 {
		return
	}
	parts := []string{fmt.Sprintf("%s waiting for approval", plural(k.waiting, "action"))}
	if k.decided > 0 {
		parts = append(parts, fmt.Sprintf("%d decided on already", k.decided))
	}
	fmt.Fprintf(k.app.err, "%s: see fdqc approvals list\n", strings.Join(parts, ", "))
}
