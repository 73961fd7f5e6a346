// Package engine judges what an agent is about to do, before it does it.
//
// An [Engine] is opened from a [Config], judges batches of embeddings and
// records outcomes:
//
//	config := engine.DefaultConfig()
//	config.Persistence.Dir = "fdqc-data"
//	e, err := engine.Open(ctx, config)
//	if err != nil {
//		return err
//	}
//	defer e.Close()
//
//	// What turned out safe or unsafe becomes a pattern, durably.
//	receipts, err := e.Record(ctx, []engine.Outcome{{Embedding: embedding, IsSafe: true}})
//
//	// A batch of rows is answered with a verdict each, in order.
//	verdicts, err := e.Validate(ctx, engine.Batch{Embeddings: rows, Width: 384})
//	for _, v := range verdicts {
//		if v.Decision != engine.Allow {
//			fmt.Println(v.Decision, v.Reason())
//		}
//	}
//
// # What a verdict is
//
// An embedding is projected into a workspace of safety.workspace_dim numbers
// (not at all when it is as wide). The workspace row moves the state of its
// session, from which entropy, coherence and a base risk are computed, and is
// compared with every pattern of the memory: the nearest safe and the nearest
// unsafe one decide how the base risk is adjusted and which thresholds hold.
// The mathematics is that of the validator specification; comments name its
// sections and steps.
//
// # What is promised
//
// It fails closed: what cannot be judged is blocked, and under the default
// configuration (safe mode, human approval) no decision is Allow. A batch
// means its rows one after another, whatever the batch size. A batch sees the
// memory as it was at one moment.
//
// # What lasts
//
// The memory lies in a [Directory]: signed checkpoints, and a journal of what
// came since. Recorded outcomes are in the journal, synced, when Record
// returns. Opening takes the newest checkpoint that verifies and replays the
// journal, which gives the memory that was there, bit for bit; a damaged
// checkpoint is set aside and the one before it gives the same. What is
// unsigned, foreign or missing is a [VerificationError], and nothing is moved.
// Levers that operators pulled ([Directory.PullLever]) hold whatever the
// configuration says. JOURNAL.md lists what the journal's records mean.
//
// What is done to a directory is on record in its audit log, AUDIT.md lists how;
// [VerifyAudit] tells whether anybody changed that. A writer refuses a log that
// does not verify or lacks what a checkpoint names, and while the log cannot be
// written nothing is loosened, saved or replaced.
//
// # What waits for people
//
// Operators' levers go through the tier machine of package policy: after an
// alarm ([Directory.Alarm]) or a rollback, safe mode holds until an operator
// takes the steps back. Actions that need a person wait in the directory's queue
// ([Directory.AskApproval], [Directory.Decide]); nobody in time denies them, and
// an approval is for the risk that was seen.
// Structured actions are checked before they are judged ([Engine.CheckAction]).
//
// # What is watched
//
// Every batch and every outcome is counted ([WithMetrics] shows the numbers to
// Prometheus), and what goes wrong is an alert: package monitor says how they
// are kept and delivered. A critical one puts safe mode on ([Directory.Alarm]).
// None of it holds up a batch.
//
// # Who owns what, what blocks
//
// Slices that go in are read during the call only; what comes out belongs to
// the caller. All methods are safe for concurrent use; batches run one at a
// time and use all threads. A context ends the waiting for other calls, never
// a running batch.
//
// A directory has one writer, which holds its lock; [ReadOnly] engines read
// the newest checkpoint and the journal beside it, and again before the next
// batch when a lever was pulled or the memory replaced: a second later at most.
// Levers that cannot be read block everything. Saving and recording never
// hold up a batch, except for the moment in which new patterns are shown to
// the validator.
package engine
