package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// exportRows is how many patterns are written at a time.
const exportRows = 1024

func (a *app) memoryCommand() *cobra.Command {
	var output string
	var capacity int
	c := &cobra.Command{
		Use:     "memory",
		Short:   "Look at the pattern memory, or change its capacity",
		Example: "  fdqc memory stats\n  fdqc memory export --output patterns.jsonl\n  fdqc memory resize --capacity 5000\n  fdqc memory check",
		RunE:    needsSubcommand,
	}
	stats := &cobra.Command{
		Use:     "stats",
		Short:   "Print counts, capacity, evictions and the counter",
		Example: "  fdqc memory stats --data-dir fdqc-data",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withEngine(c, []engine.Option{engine.ReadOnly()}, func(_ context.Context, s *session) error {
				return a.printStats(s.engine.MemoryStats())
			})
		},
	}
	export := &cobra.Command{
		Use:     "export --output FILE",
		Short:   "Write the patterns: .jsonl, .npz or .parquet",
		Example: "  fdqc memory export --output patterns.npz",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withEngine(c, []engine.Option{engine.ReadOnly()}, func(_ context.Context, s *session) error {
				return a.exportPatterns(s, output)
			})
		},
	}
	export.Flags().StringVar(&output, "output", "", "where patterns go (`file` or -)")
	required(export, "output")
	resize := &cobra.Command{
		Use:   "resize --capacity N",
		Short: "Change how many patterns a side holds; a smaller memory evicts by its rule",
		Long: `Changes the capacity of both sides as one recorded step and saves the memory.
A smaller capacity evicts by the rule of the memory. Set memory.capacity to the
same number afterwards: a memory with more patterns than memory.capacity is not
opened.`,
		Example: "  fdqc memory resize --capacity 500",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.resizeMemory(c, capacity)
		},
	}
	resize.Flags().IntVar(&capacity, "capacity", 0, "patterns a side, 1 to 1,000,000")
	check := &cobra.Command{
		Use:   "check",
		Short: "Measure how well the two sides are apart",
		Long: `Measures how far the means of the safe and the unsafe patterns are apart, against
their variance: a memory that was poisoned mixes its sides. Exit 0 when the score is
above 0.5, else 1. With an empty side there is nothing to compare.`,
		Example: "  fdqc memory check --data-dir fdqc-data",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withReader(c, a.checkMemory)
		},
	}
	c.AddCommand(stats, export, resize, check)
	return c
}

func (a *app) printStats(s memory.Stats) error {
	t := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "safe\t%d\nunsafe\t%d\ncapacity\t%d\nutilization\t%.4f\nevictions\t%d\ncounter\t%d\nnext_pattern_id\t%d\n",
		s.Patterns[memory.Safe], s.Patterns[memory.Unsafe], s.Capacity, s.Utilization, s.Evictions, s.Counter, s.NextID)
	return t.Flush()
}

func (a *app) checkMemory(d *engine.Directory) error {
	m := d.Consistency()
	t := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "separation\t%.4f\nvariance\t%.4f\nscore\t%.4f\n", m.Separation, m.AvgVariance, m.Score)
	if err := t.Flush(); err != nil {
		return err
	}
	if !m.Consistent {
		return fmt.Errorf("safe and unsafe patterns are mixed: score %.4f, expected more than 0.5", m.Score)
	}
	return nil
}

func (a *app) exportPatterns(s *session, output string) (err error) {
	out, err := a.createOutput(output)
	if err != nil {
		return err
	}
	snapshot := s.engine.Patterns()
	writer, err := rows.NewPatternWriter(out, snapshot.Width, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, writer.Abort()) }()
	for _, side := range memory.Sides() {
		from := &snapshot.Sides[side]
		var patterns []rows.Pattern
		for i, id := range from.IDs {
			patterns = append(patterns, rows.Pattern{
				PatternID: id, Side: rows.Side(side.String()),
				Sequence: from.Timestamps[i], Timestamp: from.Timestamps[i], Importance: from.Importance[i],
				Vector: from.Rows[i*snapshot.Width : (i+1)*snapshot.Width],
			})
			if len(patterns) == exportRows || i == len(from.IDs)-1 {
				if err := writer.Write(patterns); err != nil {
					return err
				}
				patterns = patterns[:0]
			}
		}
	}
	return writer.Commit()
}

func (a *app) resizeMemory(c *cobra.Command, capacity int) error {
	if capacity < 1 || capacity > memory.MaxCapacity {
		return usagef("--capacity is %d, expected 1 to %d", capacity, memory.MaxCapacity)
	}
	// The memory may hold more than memory.capacity says: that is what
	// this command is for.
	return a.withEngine(c, []engine.Option{engine.AnyCapacity()}, func(ctx context.Context, s *session) error {
		evicted, err := s.engine.ResizeMemory(ctx, capacity)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "capacity %d, evicted %d\n", capacity, evicted)
		return err
	})
}
