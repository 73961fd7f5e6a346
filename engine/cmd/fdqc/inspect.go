package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/mapped"
)

func (a *app) inspectCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what a .pt, .pkl, .safetensors, .npz or .npy file holds: keys, dtypes, shapes, metadata",
		Long: `Lists what a file holds: keys, dtypes, shapes, devices and metadata. The file
is mapped, so of a large one only what the checksums cover is read. Nothing in
it is ever executed, and LibTorch is not needed. A file that is damaged or asks
for what a checkpoint has no use for is refused with the offset and the reason;
exit code 3, also when it is cut or written to while it is read.`,
		Example: "  fdqc inspect fdqc-data/validator_state.pt\n  fdqc inspect patterns_20261123_120000.pt --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := checkpoints.ReadFile(args[0])
			if err != nil {
				return asFile(err)
			}
			if asJSON {
				encoder := json.NewEncoder(a.out)
				encoder.SetIndent("", "  ")
				encoder.SetEscapeHTML(false)
				return encoder.Encode(file)
			}
			return printFile(a.out, file)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// asFile is asInput for files that are mapped.
func asFile(err error) error {
	if errors.Is(err, mapped.ErrIrregular) {
		return usage(err)
	}
	return asInput(err)
}

// plain keeps what a file holds from steering the terminal.
func plain(value any) string {
	text := fmt.Sprint(value)
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.ContainsRune(text, utf8.RuneError) {
		return strconv.Quote(text)
	}
	return text
}

func printFile(w io.Writer, file *checkpoints.File) error {
	p := &printer{w: w}
	p.linef("%s: %s, %d bytes", file.Name, file.Format, file.Bytes)
	if c := file.Container; c != nil && c.Version > 0 {
		p.linef("archive %q, version %d, %d records", c.Root, c.Version, len(c.Records))
	}
	for _, key := range slices.Sorted(maps.Keys(file.Metadata)) {
		p.linef("metadata %q: %q", key, file.Metadata[key])
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
		if q := n.Quantizer; q != nil && q.Channels > 0 {
			facts = append(facts, fmt.Sprintf("%s with %d scales along axis %d", q.Scheme, q.Channels, q.Axis))
		} else if q != nil {
			facts = append(facts, fmt.Sprintf("%s by %v from %d", q.Scheme, q.Scale, q.ZeroPoint))
		}
	case n.Value != nil:
		facts = append(facts, n.Kind, plain(n.Value))
	default:
		facts = append(facts, n.Kind, fmt.Sprintf("(%d)", n.Length))
	}
	p.linef("%s%s%s", indent, key, strings.TrimRight(strings.Join(facts, " "), " "))
	for _, item := range n.Items {
		name := "- "
		if item.Key != nil {
			name = plain(item.Key) + ": "
		}
		p.node(indent+"  ", name, item.Value)
	}
	p.node(indent+"  ", "state: ", n.State)
	if n.Truncated {
		p.linef("%s  …", indent)
	}
}
