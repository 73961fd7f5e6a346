package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine"
)

func (a *app) keygenCommand() *cobra.Command {
	var rotate bool
	c := &cobra.Command{
		Use:   "keygen",
		Short: "Make the key that signs checkpoints and journal, or replace it",
		Long: fmt.Sprintf(`Makes the signing key, which the first write would make too, and prints its file,
its id and the line by which other installations trust it (persistence.trusted_keys,
or the file trusted_keys beside their key).

--rotate replaces the key. What the old one has signed goes on to be trusted, by a
line in trusted_keys that ends %v after the rotation. A process that has a data
directory open for writing signs with the key it began with; it notices that the
key was replaced, stops recording and saving, and must be started again.`, signing.RotationGrace),
		Example: "  fdqc checkpoint keygen\n  fdqc checkpoint keygen --rotate",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			path, trusted, err := engine.KeyFiles(&config)
			if err != nil {
				return err
			}
			if rotate {
				return rotateKey(a.out, path, trusted)
			}
			return makeKey(a.out, path)
		},
	}
	c.Flags().BoolVar(&rotate, "rotate", false, "replace the key that is there")
	return c
}

func makeKey(w io.Writer, path string) error {
	key, made, err := signing.LoadOrCreateKey(path)
	if err != nil {
		return err
	}
	if !made {
		return fmt.Errorf("there is a signing key already: %s, key %s; --rotate replaces it", path, key.KeyID())
	}
	return printKey(w, path, key)
}

func rotateKey(w io.Writer, path, trusted string) error {
	old, fresh, err := signing.RotateKey(path, trusted, time.Now())
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("there is no signing key %s to replace; without --rotate one is made", path)
	}
	if err != nil {
		return err
	}
	if err := printKey(w, path, fresh); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `replaced  %s: what it has signed stays trusted, by its line in %s
Processes that have a data directory open for writing stop recording until they
are started again. Installations that trust the old key need the new line too.
`, old.KeyID(), trusted)
	return err
}

func printKey(w io.Writer, path string, key *signing.Key) error {
	_, err := fmt.Fprintf(w, "file      %s\nkey       %s\ntrusted   %s\n", path, key.KeyID(), signing.Trusted{Public: key.Public()})
	return err
}
