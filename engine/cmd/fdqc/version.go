package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// version is set by the build (-ldflags "-X main.version=…").
var version = "development"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the build, the LibTorch found, CUDA and the ABI",
		Long: `Prints what this build is and what it computes with. A missing LibTorch is
named and is no failure of this command: fdqc doctor is the one that fails.`,
		Example: "  fdqc version",
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.out, "fdqc %s (%s, %s/%s)\nabi %d\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, torch.ABIVersion)
			library, err := torch.Open(torch.Options{})
			if err != nil {
				_, err = fmt.Fprintf(a.out, "libtorch not usable: %v\n", err)
				return err
			}
			info, err := library.Info()
			if err == nil {
				_, err = fmt.Fprintf(a.out, "libtorch %s at %s\nshim %s\ncpu %s, %d threads\ncuda devices %d\n",
					info.LibTorchVersion, info.LibTorchPath, info.ShimPath, info.CPUCapability, info.Threads, info.CUDADevices)
			}
			return errors.Join(err, library.Close())
		},
	}
}
