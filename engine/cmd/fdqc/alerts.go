package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

func (a *app) alertsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "alerts",
		Short: "List what operators were told, and try the ways of telling them",
		Long: `The process that writes a data directory keeps its last 1,000 alerts there. They
also go to the log, and from alerts.level on to Slack and a web hook, whose
addresses are secrets: FDQC_SLACK_WEBHOOK, FDQC_WEBHOOK_URL and
FDQC_WEBHOOK_SECRET in the environment, or files that [alerts] names.`,
		Example: "  fdqc alerts list\n  fdqc alerts test",
		RunE:    needsSubcommand,
	}
	c.AddCommand(a.alertsListCommand(), a.alertsTestCommand())
	return c
}

func (a *app) alertsListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the alerts that are kept, oldest first",
		Long:    `Reads the data directory without its lock, beside a process that has it open.`,
		Example: "  fdqc alerts list --data-dir fdqc-data\n  fdqc alerts list --json",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			alerts, err := monitor.ReadAlerts(engine.AlertsFile(config))
			if err != nil && !errors.Is(err, monitor.ErrDamaged) {
				return err
			}
			if asJSON {
				return errors.Join(printJSON(a.out, alerts), err)
			}
			return errors.Join(a.printAlerts(alerts), err)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printAlerts(alerts []monitor.Alert) error {
	if len(alerts) == 0 {
		_, err := fmt.Fprintln(a.out, "there are no alerts")
		return err
	}
	table := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "at\tlevel\tkind\tsource\tmessage\n")
	for _, alert := range alerts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", alert.At.Format(time.RFC3339), alert.Level, plain(alert.Kind), plain(alert.Source), plain(alert))
	}
	return table.Flush()
}

func (a *app) alertsTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send an alert to Slack and the web hook as they are configured",
		Long: `Sends one alert of level info to each destination that is configured, whatever
alerts.level is, and says what came of it; exit 1 when one of them failed.`,
		Example: "  fdqc alerts test\n  FDQC_SLACK_WEBHOOK=$(cat slack.secret) fdqc alerts test",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			sinks, err := engine.AlertSinks(config)
			if err != nil {
				return err
			}
			if len(sinks) == 0 {
				return usagef("no destination is configured: set %s or %s, or see [alerts] in fdqc.example.toml",
					engine.SlackWebhookVariable, engine.WebhookURLVariable)
			}
			alert := monitor.Alert{At: time.Now().UTC(), Level: monitor.Info, Kind: monitor.Test, Source: "command", Message: "fdqc alerts test: this is a test"}
			errs := monitor.Deliver(c.Context(), alert, sinks, monitor.OutsideOptions{Deadline: 30 * time.Second})
			for i, sink := range sinks {
				if errs[i] == nil {
					fmt.Fprintf(a.out, "%s: delivered\n", sink.Name())
				}
			}
			return errors.Join(errs...)
		},
	}
}
