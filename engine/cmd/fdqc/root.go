package main

import (
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// streams are the three ends that a command talks to.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// app is what all commands share: the streams and the common flags.
type app struct {
	streams
	logs  *monitor.Logs // nil until something may be logged
	flags struct {
		config    string
		dataDir   string
		device    string
		batchSize int
		threads   int
		logLevel  string
		logFormat string
		quiet     bool
		onError   string
		// Of validate and record.
		metricsFile string
		push        string
	}
}

func newRoot(s streams) (*cobra.Command, *app) {
	if _, file := s.err.(*os.File); !file {
		s.err = &serial{to: s.err} // logs come from goroutines too
	}
	a := &app{streams: s}
	root := &cobra.Command{
		Use:   "fdqc",
		Short: "Judge what an agent is about to do, before it does it",
		Long: `fdqc judges actions (embeddings, or text that is embedded first) in batches on
LibTorch: it compares them with a memory of actions known to be safe and
unsafe, and answers a risk, its reasons and a decision.

Settings are found in this order: flag, environment FDQC_<SECTION>_<KEY>, the
file of --config (or $FDQC_CONFIG, or ./fdqc.toml), fdqc.toml in the data
directory, built-in default. "fdqc config show" says what is in force.

Exit codes: 0 done; 1 failed; 2 bad usage, configuration or input; 3 a file
failed verification; 4 LibTorch or the asked device is missing; 10 validate
--fail-on met a decision at least that strict.`,
		Example: `  fdqc doctor
  fdqc record --input outcomes.jsonl
  fdqc validate --input actions.jsonl --output verdicts.jsonl`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	f := root.PersistentFlags()
	f.StringVar(&a.flags.config, "config", "", "configuration `file` (TOML)")
	f.StringVar(&a.flags.dataDir, "data-dir", "", "data directory (persistence.dir)")
	f.StringVar(&a.flags.device, "device", "", "auto, cpu, cuda or cuda:N (engine.device)")
	f.IntVar(&a.flags.batchSize, "batch-size", 0, "rows judged together (engine.batch_size)")
	f.IntVar(&a.flags.threads, "threads", 0, "computing threads, 0: the CPUs granted (engine.threads)")
	f.StringVar(&a.flags.logLevel, "log-level", "", "trace, debug, info, warn or error (logging.level)")
	f.StringVar(&a.flags.logFormat, "log-format", "", "text or json (logging.format)")
	f.BoolVar(&a.flags.quiet, "quiet", false, "no progress, no summary")
	f.StringVar(&a.flags.onError, "on-error", "stop", "what a refused row does: stop or skip")
	root.AddCommand(
		a.validateCommand(), a.recordCommand(), a.replayCommand(), a.memoryCommand(),
		a.checkpointCommand(), a.safetyCommand(), a.quarantineCommand(), a.approvalsCommand(), a.auditCommand(), a.migrateCommand(),
		a.inspectCommand(), a.convertCommand(), a.doctorCommand(), a.configCommand(), a.benchCommand(),
		a.alertsCommand(), a.logLevelCommand(), a.versionCommand(),
	)
	wrapArgs(root)
	return root, a
}

// wrapArgs makes a wrong number of arguments an error of usage.
func wrapArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, args []string) error { return usage(check(c, args)) }
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

// settings loads the configuration as the flags of this call change it.
func (a *app) settings(c *cobra.Command) (engine.Config, engine.Origins, error) {
	flags := map[string]string{}
	set := func(flag, key, value string) {
		if c.Flags().Changed(flag) {
			flags[key] = value
		}
	}
	set("device", "engine.device", a.flags.device)
	set("batch-size", "engine.batch_size", strconv.Itoa(a.flags.batchSize))
	set("threads", "engine.threads", strconv.Itoa(a.flags.threads))
	set("data-dir", "persistence.dir", a.flags.dataDir)
	set("log-level", "logging.level", a.flags.logLevel)
	set("log-format", "logging.format", a.flags.logFormat)
	set("metrics-file", "monitor.metrics_file", a.flags.metricsFile)
	set("push", "monitor.push_url", a.flags.push)
	if a.flags.onError != "stop" && a.flags.onError != "skip" {
		return engine.Config{}, nil, usagef("--on-error is %q, expected stop or skip", a.flags.onError)
	}
	workDir, err := os.Getwd()
	if err != nil {
		return engine.Config{}, nil, err
	}
	config, origins, err := engine.LoadConfig(engine.LoadOptions{
		ConfigFile: a.flags.config,
		Environ:    os.Environ(),
		Flags:      flags,
		WorkDir:    workDir,
	})
	return config, origins, usage(err)
}

// serial takes one write at a time, as a file does.
type serial struct {
	mu sync.Mutex
	to io.Writer
}

func (s *serial) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(b)
}

// isTerminal says whether a person is watching a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
