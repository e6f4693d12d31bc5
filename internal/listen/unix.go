package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// unixListener removes its socket when it closes.
type unixListener struct {
	*net.UnixListener
	path string
}

// openUnix listens at path. A socket that nobody listens at any more is
// replaced. The socket appears under its name with its final permissions.
func openUnix(ctx context.Context, path string, opt Options) (net.Listener, error) {
	if opt.SocketMode == 0 {
		opt.SocketMode = 0o660
	}
	if err := checkStale(ctx, path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, plain(err)
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "s")
	if len(tmp) > maxUnix { // then it must do without the rename
		tmp = path
		_ = os.Remove(path)
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "unix", tmp)
	if err != nil {
		return nil, reason(err)
	}
	u := &unixListener{l.(*net.UnixListener), path}
	u.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(tmp, opt.SocketMode), os.Rename(tmp, path)); err != nil {
		u.UnixListener.Close()
		return nil, plain(err)
	}
	return u, nil
}

// checkStale reports why path cannot be taken.
func checkStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return plain(err)
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("exists and is no socket")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, syscall.EAGAIN): // one who listens has a full queue
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil // nobody listens; the rename replaces it
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// plain is a file system error without the path.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// Addr is the path that clients know.
func (u *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: u.path, Net: "unix"} }

// Close stops listening and removes the socket, unless it is in a directory that
// is not ours (any more): the next Open replaces it.
func (u *unixListener) Close() error {
	err := u.UnixListener.Close()
	if err == nil {
		err = os.Remove(u.path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			err = nil
		}
	}
	return err
}
