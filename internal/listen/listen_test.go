package listen

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, spec string, opt Options) net.Listener {
	t.Helper()
	l, err := Open(t.Context(), spec, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestParse(t *testing.T) {
	for spec, want := range map[string]Addr{
		"0.0.0.0:25": {"tcp", "0.0.0.0:25"}, ":25": {"tcp", ":25"}, "[::]:25": {"tcp", "[::]:25"},
		"localhost:0": {"tcp", "localhost:0"}, "unix:/run/x.sock": {"unix", "/run/x.sock"},
	} {
		a, err := Parse(spec)
		if err != nil || a != want || a.String() != spec {
			t.Errorf("%s: %+v, %v", spec, a, err)
		}
	}
	for _, spec := range []string{"", "25", "host", "host:smtp", "host:99999", "host:025", "a b:25", "::1:25", "unix:", "unix:x", "unix:/a/", "unix:/" + strings.Repeat("x", 200)} {
		if a, err := Parse(spec); err == nil {
			t.Errorf("%q is %+v", spec, a)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[::1]:25")
	f.Add("unix:/run/lmtp.sock")
	f.Add(":0")
	f.Fuzz(func(t *testing.T, spec string) {
		a, err := Parse(spec)
		if err != nil {
			return
		}
		if b, err := Parse(a.String()); err != nil || a != b {
			t.Errorf("%q: %+v, then %+v, %v", spec, a, b, err)
		}
	})
}

func TestPortInUse(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{})
	_, err := Open(t.Context(), l.Addr().String(), Options{})
	if !errors.Is(err, ErrInUse) || err.Error() != l.Addr().String()+": in use by another program" {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), "192.0.2.1:0", Options{}); err == nil || !strings.Contains(err.Error(), "no such address") {
		t.Errorf("%v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "lmtp.sock")
	l := open(t, "unix:"+path, Options{SocketMode: 0o600})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Open(t.Context(), "unix:"+path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second listener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	// One that a crash has left behind.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l = open(t, "unix:"+path, Options{})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "unix:"+path, Options{}); err == nil {
		t.Error("a file was replaced")
	}
}

// One who is too busy to accept listens all the same: the socket stays his.
func TestUnixSocketOfTheBusy(t *testing.T) {
	path := filepath.Join(shortDir(t), "lmtp.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	const most = 100
	for i := 0; ; i++ {
		c, err := net.Dial("unix", path)
		if err != nil {
			break // the queue is full
		}
		defer c.Close()
		if i == most {
			t.Skip("the queue of a socket has no end on this system")
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := Open(t.Context(), "unix:"+path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, %v", l, err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket was replaced: %v", err)
	}
}

// shortDir is a directory whose path leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// echo accepts one connection, says who it is and returns its first line.
func echo(t *testing.T, l net.Listener) (who, line string) {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err = bufio.NewReader(c).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return Remote(c.RemoteAddr()).String(), line
}

func send(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x34\x00\x19"

func TestProxyProtocol(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, HeaderTimeout: time.Hour})
	send(t, l, "PROXY TCP4 192.0.2.9 127.0.0.1 4660 25\r\nHELO one\r\n")
	if who, line := echo(t, l); who != "192.0.2.9" || line != "HELO one\r\n" {
		t.Errorf("%s %q", who, line)
	}
	// A proxy that says nothing holds up nobody.
	silent := send(t, l, "")
	send(t, l, v2+"HELO two\r\n")
	if who, line := echo(t, l); who != "192.0.2.7" || line != "HELO two\r\n" {
		t.Errorf("%s %q", who, line)
	}
	// One without a header is dropped.
	plain := send(t, l, "HELO three\r\n")
	if n, err := plain.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if n, err := silent.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Only TCP gives a client's address; a header without one makes the connection the
// proxy's own. Nobody becomes a process of this machine, which has no address.
func TestProxyHeaderFamilies(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, HeaderTimeout: time.Hour})
	const begin = "\r\n\r\n\x00\r\nQUIT\n"
	v4 := "\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x34\x00\x19"
	v6 := "\x00\x24\x20\x01\x0d\xb8" + strings.Repeat("\x00", 12+16) + "\x12\x34\x00\x19"
	unix := "\x00\xd8" + strings.Repeat("/x\x00", 72)
	const own = "127.0.0.1"
	for _, c := range []struct{ name, header, who string }{
		{"TCP4", begin + "\x21\x11" + v4, "192.0.2.7"},
		{"TCP6", begin + "\x21\x21" + v6, "2001:db8::"},
		{"UDP4", begin + "\x21\x12" + v4, ""},
		{"UDP6", begin + "\x21\x22" + v6, ""},
		{"UNIX", begin + "\x21\x31" + unix, ""},
		{"UNIX datagrams", begin + "\x21\x32" + unix, ""},
		{"AF_UNSPEC", begin + "\x21\x00\x00\x00", ""},
		{"AF_UNSPEC by UDP", begin + "\x21\x02\x00\x00", ""},
		{"LOCAL", begin + "\x20\x00\x00\x00", own},
		{"LOCAL, TCP4", begin + "\x20\x11" + v4, own},
		{"LOCAL, UNIX", begin + "\x20\x31" + unix, own},
		{"unknown command", begin + "\x22\x00\x00\x00", ""},
		{"unknown version", begin + "\x31\x00\x00\x00", ""},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", own},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := send(t, l, c.header+"HELO\r\n")
			if c.who == "" {
				if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
					t.Errorf("read %d, %v", n, err)
				}
				return
			}
			if who, line := echo(t, l); who != c.who || line != "HELO\r\n" {
				t.Errorf("%s %q", who, line)
			}
		})
	}
}

func TestProxyHeaderHasToCome(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, HeaderTimeout: time.Millisecond})
	c := send(t, l, "PROXY TCP4 ")
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestStrangersCannotPretend(t *testing.T) {
	l := open(t, "127.0.0.1:0", Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	send(t, l, "PROXY TCP4 192.0.2.9 127.0.0.1 4660 25\r\nHELO\r\n")
	if who, line := echo(t, l); who != "127.0.0.1" || !strings.HasPrefix(line, "PROXY ") {
		t.Errorf("%s %q", who, line)
	}
}
