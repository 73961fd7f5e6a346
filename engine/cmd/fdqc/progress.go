package main

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// progress shows a person how far a long input has been read; it shows
// nothing to anybody else.
type progress struct {
	bar    *progressbar.ProgressBar
	reader rows.Reader
}

func (a *app) newProgress(reader rows.Reader, what string) *progress {
	p := &progress{reader: reader}
	if a.flags.quiet || reader.Size() <= 0 || !isTerminal(a.err) {
		return p
	}
	p.bar = progressbar.NewOptions64(reader.Size(),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionShowBytes(unitOf(what) == "line"),
		progressbar.OptionClearOnFinish(),
	)
	return p
}

func (p *progress) update() {
	if p.bar != nil {
		_ = p.bar.Set64(p.reader.Done()) // what a person watches may fail unseen
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// unitOf is what rows are counted in, in messages about a file.
func unitOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".npy", ".npz", ".parquet":
		return "row"
	default:
		return "line"
	}
}
