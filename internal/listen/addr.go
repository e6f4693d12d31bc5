// Package listen opens the sockets that the doors listen on: TCP and Unix,
// handed over by systemd or bound here, behind proxies or not, accepts from
// them, and limits who may be connected.
package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"posthouse/internal/smtp"
)

// Addr is a place to listen.
type Addr struct {
	Network string // "tcp" or "unix"
	Address string // "host:port" or a path
}

// String is the spelling that Parse reads.
func (a Addr) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// AnyPort reports whether the system chooses the port.
func (a Addr) AnyPort() bool { return a.Network == "tcp" && strings.HasSuffix(a.Address, ":0") }

// maxUnix is the longest path that a Unix socket may have, in bytes (Linux).
const maxUnix = 107

// Parse reads "host:port", ":port", "[::]:25" or "unix:/path".
func Parse(spec string) (Addr, error) {
	if path, ok := strings.CutPrefix(spec, "unix:"); ok {
		switch {
		case !strings.HasPrefix(path, "/"), strings.HasSuffix(path, "/"), strings.ContainsRune(path, 0):
			return Addr{}, fmt.Errorf("%q: want unix: and the absolute path of a socket", spec)
		case len(path) > maxUnix:
			return Addr{}, fmt.Errorf("%q: path of a socket over %d bytes", spec, maxUnix)
		}
		return Addr{"unix", path}, nil
	}
	host, port, err := net.SplitHostPort(spec)
	if err != nil {
		return Addr{}, fmt.Errorf("%q is not an address such as \"0.0.0.0:25\"", spec)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return Addr{}, fmt.Errorf("%q: %q is not a port", spec, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !smtp.ValidDomain(host) {
		return Addr{}, fmt.Errorf("%q: %q is not an address or host name", spec, host)
	}
	return Addr{"tcp", net.JoinHostPort(host, port)}, nil
}
