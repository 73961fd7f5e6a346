package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// Exit codes of every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitVerify      = 3
	exitUnavailable = 4
	exitFailOn      = 10
)

// usageError marks bad usage, configuration or input.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage marks an error as one of the user's making; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// failOnError says that --fail-on met a decision.
type failOnError struct {
	decision engine.Decision
	rows     int64
}

func (e *failOnError) Error() string {
	return fmt.Sprintf("%d rows were judged %s or stricter", e.rows, e.decision)
}

// exitCode maps an error to what the shell sees.
func exitCode(err error) int {
	var (
		failOn      *failOnError
		unavailable *torch.UnavailableError
		bad         *usageError
		config      *engine.ConfigError
		mismatch    *engine.MismatchError
		capacity    *memory.CapacityError
		row         *rows.RowError
		remote      *control.RemoteError
		request     *control.InputError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &failOn):
		return exitFailOn
	case errors.As(err, &unavailable):
		return exitUnavailable
	case errors.As(err, &remote):
		return max(remote.Code, exitFailed)
	case unverified(err):
		return exitVerify
	case errors.As(err, &bad), errors.As(err, &config), errors.As(err, &mismatch),
		errors.As(err, &capacity), errors.As(err, &row), errors.As(err, &request),
		errors.Is(err, signing.ErrUnsafeFile), errors.Is(err, signing.ErrMalformed):
		return exitUsage
	default:
		return exitFailed
	}
}

// unverified says whether an error is about a file that is corrupt, unsigned,
// tampered with or missing from where it must be.
func unverified(err error) bool {
	var refused *engine.VerificationError
	if errors.As(err, &refused) {
		return true
	}
	for _, reason := range []error{
		checkpoints.ErrMalformed, store.ErrUntrusted, store.ErrDamaged, store.ErrNoneLeft,
		journal.ErrDamaged, journal.ErrUntrusted, journal.ErrMissing, audit.ErrDamaged, audit.ErrUntrusted,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// oneLine joins the lines of an error, since a user's script reads one.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; ")
}
