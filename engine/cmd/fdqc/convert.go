package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints/convert"
)

func (a *app) convertCommand() *cobra.Command {
	var (
		options  convert.Options
		expanded int64
	)
	c := &cobra.Command{
		Use:   "convert FROM TO",
		Short: "Write what a .pt, .pkl, .safetensors or .npz file holds as another of them",
		Long: `Writes what one file holds as another, by the endings of the names: .pt (.pth),
.pkl, .safetensors or .npz. Tensors keep every bit, type and shape; in the last
two a tensor is named by its path, with dots, and what is no tensor goes along
as JSON in the metadata, from which the way back makes it again. Views are
written out, tensors on other devices come to the CPU.

What the target cannot hold (bfloat16 in .npz, a quantized or sparse tensor, an
object of a class) is an error that names the key; nothing is left out unless
--drop-metadata asks for it. Nothing in a file is ever executed, and LibTorch
is not needed. TO appears complete or not at all; an existing one is replaced.

Exit code 2 when TO cannot hold it, 3 when FROM is damaged or changes meanwhile.`,
		Example: "  fdqc convert model.pt model.safetensors\n  fdqc convert weights.safetensors weights.npz\n  fdqc convert --drop-metadata checkpoint.pt tensors.npz",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if expanded < 1 || expanded > 1<<20 {
				return usagef("--expand is %d, expected 1 to 1048576 MiB", expanded)
			}
			options.Expanded = expanded << 20
			report, err := convert.Convert(args[0], args[1], options)
			var unfit *convert.HoldError
			if errors.Is(err, convert.ErrPath) || errors.As(err, &unfit) {
				return usage(fmt.Errorf("convert %s: %w", args[0], err))
			}
			if err != nil {
				return asFile(err)
			}
			if !a.flags.quiet {
				fmt.Fprintf(a.err, "%s: %d tensors, %d bytes of elements\n", args[1], report.Tensors, report.Bytes)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&options.DropMetadata, "drop-metadata", false, "write the tensors only, and leave out what is no tensor")
	c.Flags().Int64Var(&expanded, "expand", 1024, "`MiB` that views and compressed arrays may take beyond the size of FROM")
	return c
}
