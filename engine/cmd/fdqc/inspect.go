package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

func (a *app) inspectCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what a .pt, .pth or .pkl file holds: keys, dtypes, shapes, metadata",
		Long: `Lists what a checkpoint holds: keys, dtypes, shapes, devices and metadata.
Nothing in the file is ever executed, and LibTorch is not needed. A file that
is damaged or asks for what a checkpoint has no use for is refused with the
offset and the reason; exit code 3.`,
		Example: "  fdqc inspect fdqc-data/validator_state.pt\n  fdqc inspect patterns_20261123_120000.pt --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			switch ext := strings.ToLower(filepath.Ext(args[0])); ext {
			case ".npz", ".safetensors":
				return usagef("%s: inspecting %s files is not supported in this version, expected .pt, .pth or .pkl", args[0], ext)
			}
			file, err := checkpoints.ReadFile(args[0])
			if err != nil {
				return asInput(err)
			}
			if asJSON {
				encoder := json.NewEncoder(a.out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(file)
			}
			return printFile(a.out, file)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printFile(w io.Writer, file *checkpoints.File) error {
	p := &printer{w: w}
	p.linef("%s: %s, %d bytes", file.Name, file.Format, file.Bytes)
	if c := file.Container; c != nil {
		p.linef("archive %q, version %d, %d records", c.Root, c.Version, len(c.Records))
	}
	p.node("", "", file.Content)
	for _, warning := range file.Warnings {
		p.linef("warning: %s", warning)
	}
	return p.err
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) linef(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// node prints a value and what it contains, indented under its key.
func (p *printer) node(indent, key string, n *checkpoints.Node) {
	if n == nil {
		return
	}
	var facts []string
	switch {
	case n.DType != "":
		facts = append(facts, n.Kind, fmt.Sprintf("%s %v", n.DType, n.Shape), n.Location)
	case n.Value != nil:
		facts = append(facts, n.Kind, fmt.Sprintf("%v", n.Value))
	default:
		facts = append(facts, n.Kind, fmt.Sprintf("(%d)", n.Length))
	}
	p.linef("%s%s%s", indent, key, strings.TrimRight(strings.Join(facts, " "), " "))
	for _, item := range n.Items {
		name := "- "
		if item.Key != nil {
			name = fmt.Sprintf("%v: ", item.Key)
		}
		p.node(indent+"  ", name, item.Value)
	}
	p.node(indent+"  ", "state: ", n.State)
	if n.Truncated {
		p.linef("%s  …", indent)
	}
}
