package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// What is recorded into a folder that is gone is gone with it: no receipt may
// say that it is durable.
func TestFolderTakenFromUnderTheWriter(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	for name, take := range map[string]func(t *testing.T, dir string){
		"directory removed": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
		"journal removed":   func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "journal"))) },
		"segments removed": func(t *testing.T, dir string) {
			for _, path := range parts(t, filepath.Join(dir, "journal")) {
				must(t, os.Remove(path))
			}
		},
		"directory moved": func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".moved")) },
		"another in its place": func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".moved"))
			must(t, os.CopyFS(dir, os.DirFS(dir+".moved")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := small(t)
			e, err := engine.Open(t.Context(), config, engine.WithLibrary(library))
			must(t, err)
			history(t, e, 1)
			want := whole(e.Directory())
			take(t, config.Persistence.Dir)
			receipts, err := e.Record(t.Context(), outcomes(normal(2, 2, 8), 8))
			if err == nil || len(receipts) > 0 || !strings.Contains(err.Error(), config.Persistence.Dir) {
				t.Errorf("record: got %+v, %v, want no receipts and an error that names the path", receipts, err)
			}
			if got := whole(e.Directory()); got != want {
				t.Errorf("memory after the refusal: got\n%s\nwant\n%s", got, want)
			}
			if path, err := e.Save(t.Context()); err == nil {
				t.Errorf("save: got %s, want an error", path)
			}
			if err := e.Close(); err == nil {
				t.Error("close: no error, although the checkpoint cannot be there")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
