package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// Options of Open.
type Options struct {
	// Proxies are peers that send a PROXY protocol header before anything else;
	// see behindProxies.
	Proxies Networks
	// HeaderTimeout bounds the wait for that header; default 5 seconds.
	HeaderTimeout time.Duration
	// SocketMode is the permissions of a Unix socket; default 0660.
	SocketMode os.FileMode
}

// ErrInUse means that something else listens at the address already.
var ErrInUse = errors.New("in use by another program")

// Open listens at spec (see Parse). Errors are one line that names the address,
// and wrap ErrInUse or fs.ErrPermission where that is the reason.
func Open(ctx context.Context, spec string, opt Options) (net.Listener, error) {
	a, err := Parse(spec)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	if a.Network == "unix" {
		l, err = openUnix(ctx, a.Address, opt)
	} else {
		l, err = openTCP(ctx, a.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return Wrap(l, opt), nil
}

// Wrap gives a listener that was opened elsewhere what opt says.
func Wrap(l net.Listener, opt Options) net.Listener {
	if _, unix := l.Addr().(*net.UnixAddr); unix || len(opt.Proxies) == 0 {
		return l
	}
	if opt.HeaderTimeout <= 0 {
		opt.HeaderTimeout = 5 * time.Second
	}
	return behindProxies(l, opt.Proxies, opt.HeaderTimeout)
}

// FromSystemd gives the sockets that systemd has opened for us, by the
// FileDescriptorName= of their units; empty when it has not. It can be called
// once.
func FromSystemd() (map[string][]net.Listener, error) {
	all, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	return all, nil
}

func openTCP(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	// "0.0.0.0" is IPv4 alone; "[::]" and "" are both, as the system has it.
	network := "tcp"
	if host, _, err := net.SplitHostPort(address); err == nil {
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
			network = "tcp4"
		}
	}
	l, err := c.Listen(ctx, network, address)
	return l, reason(err)
}

// reason strips what the address's name in front already says.
func reason(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return ErrInUse
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w (a port below 1024 needs root or CAP_NET_BIND_SERVICE)", os.ErrPermission)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("this machine has no such address")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
