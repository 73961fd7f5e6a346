package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// ErrDamaged says that a file of this package does not hold what was written.
var ErrDamaged = errors.New("is damaged")

// maxFile bounds the files that are read, in bytes.
const maxFile = 16 << 20

// alertFile keeps alerts: one JSON object a line, appended and synced, cut
// down to the newest when there are twice as many. Mode 0600.
type alertFile struct {
	path  string
	file  *os.File // nil until something is appended
	lines []json.RawMessage
	count int // of lines in the file
}

// openAlertFile opens the file of the one process that writes it. A last line
// that was cut short is dropped. When other lines are damaged the file is set
// aside under another name, what could be read is kept, and the error is
// ErrDamaged. Any other error comes without a file.
func openAlertFile(path string, now time.Time) (*alertFile, []Alert, error) {
	f := &alertFile{path: path}
	alerts, lines, cut, err := readAlertFile(path)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, nil, err
	}
	f.lines, f.count = lines, len(lines)
	alerts = tail(alerts)
	switch {
	case err != nil:
		aside, moved := setAside(path, now)
		if moved != nil {
			return f, alerts, errors.Join(err, moved)
		}
		err = errors.Join(fmt.Errorf("%w; it is now %s", err, aside), f.compact())
	case cut:
		err = f.compact()
	}
	return f, alerts, err
}

// ReadAlerts reads the kept alerts, oldest first, beside a process that writes
// them. An absent file holds none. With ErrDamaged come those that could be
// read.
func ReadAlerts(path string) ([]Alert, error) {
	alerts, _, _, err := readAlertFile(path)
	return tail(alerts), err
}

func readAlertFile(path string) (alerts []Alert, lines []json.RawMessage, cut bool, err error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("alerts: %w", err)
	}
	var damage error
	for number := 1; len(data) > 0; number++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		if !whole {
			return alerts, lines, true, damage
		}
		var alert Alert
		if err := json.Unmarshal(line, &alert); err != nil {
			if damage == nil {
				damage = fmt.Errorf("alerts: %s, line %d %w: %w", path, number, ErrDamaged, err)
			}
			continue
		}
		alerts, lines = append(alerts, alert), append(lines, json.RawMessage(line))
	}
	return alerts, lines, false, damage
}

func tail[T any](all []T) []T { return all[max(0, len(all)-keptAlerts):] }

// append writes an alert down; on return it is on the disk.
func (f *alertFile) append(alert Alert) error {
	line, err := json.Marshal(alert)
	if err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	f.lines = append(f.lines, line)
	if f.count++; f.count >= 2*keptAlerts {
		return f.compact()
	}
	if f.file == nil {
		if err := disk.MakeFolder(filepath.Dir(f.path)); err != nil {
			return fmt.Errorf("alerts: %w", err)
		}
		f.file, err = os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return fmt.Errorf("alerts: %w", err)
		}
	}
	_, err = f.file.Write(append(line, '\n'))
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		// Half a line may be there: the next one begins the file anew.
		return fmt.Errorf("alerts: %w", errors.Join(err, f.compact()))
	}
	return nil
}

// compact writes the newest alerts anew, in place of the file.
func (f *alertFile) compact() error {
	err := f.close()
	f.lines = append(f.lines[:0:0], tail(f.lines)...)
	f.count = len(f.lines)
	if err == nil {
		err = checkpoints.WriteAtomic(f.path, 0o600, func(w io.Writer) error {
			buffer := bufio.NewWriter(w)
			for _, line := range f.lines {
				_, _ = buffer.Write(line) // an error stays with the buffer
				_ = buffer.WriteByte('\n')
			}
			return buffer.Flush()
		})
	}
	if err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	return nil
}

func (f *alertFile) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// readFile reads a regular file of at most maxFile bytes, and no link. A
// larger one is ErrDamaged.
func readFile(path string) ([]byte, error) {
	data, err := disk.ReadRegular(path, maxFile)
	if large := (*disk.TooLargeError)(nil); errors.As(err, &large) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, large)
	}
	return data, err
}

// setAside renames a damaged file and answers its new name.
func setAside(path string, now time.Time) (string, error) {
	aside := fmt.Sprintf("%s.damaged-%s", path, now.UTC().Format("20060102T150405.000000000"))
	return aside, os.Rename(path, aside)
}
