package bench

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

//go:embed peers/*.py
var pythonFiles embed.FS

// pythonPeers are the programs of peers/, by kind.
var pythonPeers = []struct{ kind, name, file, argument string }{
	{"loop", "PyTorch, a loop over actions", "loop.py", ""},
	{"eager", "PyTorch eager, vectorised", "vectorised.py", "eager"},
	{"compile", "PyTorch by torch.compile", "vectorised.py", "compile"},
	{"faiss", "FAISS IndexFlatL2", "matching.py", "faiss"},
	{"tree", "SciPy cKDTree", "matching.py", "tree"},
}

// Why a peer is missing that was not tried.
const (
	noPython  = "no Python environment is named (FDQC_PEERS_PYTHON); run: make peers"
	noGotorch = "no program is named (FDQC_GOTORCH_PEER); run: make peers"
	leftOut   = "left out of this plan"
	// missingGPU is the name of the engine where there is none.
	missingGPU = "fdqc engine on CUDA"
)

// Missing names a target that has no figures, and why.
type Missing struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// opening is a target that is being started, or why it could not be.
type opening struct {
	name   string
	target Target
	err    error
}

// openTargets starts the engine's targets and the peers that can be had, the
// engine's first. The caller closes them.
func openTargets(ctx context.Context, o *Options) (targets []Target, missing []Missing, err error) {
	devices, noCUDA, err := devices(ctx, o.Device)
	if err != nil {
		return nil, nil, err
	}
	for _, device := range devices {
		targets = append(targets, &engineTarget{device: device})
	}
	if noCUDA != nil {
		missing = append(missing, Missing{missingGPU, noCUDA.Error()})
	}
	var all []*opening
	var starting sync.WaitGroup
	start := func(name string, why error, open func() (Target, error)) {
		p := &opening{name: name, err: why}
		all = append(all, p)
		if why == nil {
			starting.Go(func() { p.target, p.err = open() })
		}
	}
	for _, peer := range pythonPeers {
		var why error
		switch {
		case !o.Plan.wants(peer.kind):
			why = errors.New(leftOut)
		case o.Python == "":
			why = errors.New(noPython)
		}
		on := devices[:1]
		if peer.kind == "eager" || peer.kind == "compile" {
			on = devices
		}
		for _, device := range on {
			start(peer.name+" on "+device, why, func() (Target, error) {
				return OpenProgram(ctx, o.Threads, device, writePeers, o.Python, peer.file, peer.argument)
			})
		}
	}
	why := error(nil)
	switch {
	case !o.Plan.wants("gotorch"):
		why = errors.New(leftOut)
	case o.Gotorch == "":
		why = errors.New(noGotorch)
	}
	start("gotorch", why, func() (Target, error) { return OpenProgram(ctx, o.Threads, devices[0], nil, o.Gotorch) })
	starting.Wait()
	for _, p := range all {
		if p.err != nil {
			missing = append(missing, Missing{p.name, p.err.Error()})
		} else {
			targets = append(targets, p.target)
		}
	}
	if ctx.Err() != nil {
		return nil, nil, errors.Join(ctx.Err(), closeAll(targets))
	}
	return targets, missing, nil
}

func closeAll(targets []Target) error {
	var errs []error
	for _, t := range targets {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// devices are those that the engine is measured on, by the name that the user
// gave: auto is the CPU and, where it can be used, CUDA; noCUDA says why not.
func devices(ctx context.Context, name string) (names []string, noCUDA, err error) {
	if name == "cpu" {
		return []string{"cpu"}, errors.New("--device cpu leaves it out"), nil
	}
	library, err := torch.Open(torch.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, library.Close()) }()
	if name != "auto" {
		device, err := library.Device(name)
		if err != nil {
			return nil, nil, err
		}
		return []string{device.String()}, nil, nil
	}
	device, err := library.Device("cuda")
	if unavailable := new(torch.UnavailableError); errors.As(err, &unavailable) {
		return []string{"cpu"}, err, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return []string{"cpu", device.String()}, nil, ctx.Err()
}

// writePeers puts the Python programs into a folder.
func writePeers(folder string) error {
	return fs.WalkDir(pythonFiles, "peers", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := pythonFiles.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, filepath.Base(path)), text, 0o600)
	})
}

// kinds are the kinds of target that a plan may name.
func kinds() []string {
	all := []string{"engine", "gotorch"}
	for _, p := range pythonPeers {
		all = append(all, p.kind)
	}
	return all
}

// checkKinds refuses names of kinds that there are none of.
func checkKinds(names []string) error {
	for _, name := range names {
		if !slices.Contains(kinds(), name) {
			return fmt.Errorf("there is no target of the kind %q, expected some of %s", name, strings.Join(kinds(), ", "))
		}
	}
	return nil
}
