package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// SocketName is the socket's name in the data directory.
const SocketName = "control.sock"

// socket is the socket of an open data directory. The address of a socket has
// room for 108 bytes: it is reached through the open folder, so the length of
// its path does not matter.
type socket struct {
	folder *os.File
	path   string // through the open folder
	owner  uint32 // of the folder
}

func openSocket(dir string) (*socket, error) {
	folder, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	info, err := folder.Stat()
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	s := &socket{folder: folder, path: fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), SocketName)}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.owner = stat.Uid
	}
	return s, nil
}

// listen makes the socket, in place of one that an owner left which was
// killed. The caller holds the lock of the data directory.
func (s *socket) listen() (*net.UnixListener, error) {
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s has mode %v, expected a socket or nothing", filepath.Join(s.folder.Name(), SocketName), info.Mode())
	default:
		if err := os.Remove(s.path); err != nil {
			return nil, err
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // remove does it, before the listener closes
	if err := os.Chmod(s.path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close(), s.remove())
	}
	return listener, nil
}

func (s *socket) remove() error {
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dial connects to the owner of the data directory, and to nobody else.
func (s *socket) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", s.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w on %s", ErrNoOwner, filepath.Join(s.folder.Name(), SocketName))
	}
	if err != nil {
		return nil, err
	}
	peer, err := peerUID(conn)
	if err == nil && !mayAct(peer, s.owner) {
		err = fmt.Errorf("%s is served by %s, expected %s or root", filepath.Join(s.folder.Name(), SocketName), engine.UserName(peer), engine.UserName(s.owner))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (s *socket) close() error { return s.folder.Close() }
