package control

import (
	"fmt"
	"net"
	"syscall"
)

// peerUID asks the kernel which user is at the other end of a socket.
func peerUID(conn net.Conn) (uint32, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("peer of a %T, expected a unix socket", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("peer: %w", err)
	}
	var peer *syscall.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		peer, optErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, fmt.Errorf("peer: %w", err)
	}
	if optErr != nil {
		return 0, fmt.Errorf("peer: %w", optErr)
	}
	return peer.Uid, nil
}

// mayAct says whether a peer is the owner of a data directory, or root.
func mayAct(peer, owner uint32) bool { return peer == owner || peer == 0 }
