package listen

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// FuzzProxyHeader sends what it likes from a proxy's address. The header is read
// to its end or the connection dropped, who is named as the client is an address,
// and a connection that is handed on gives the bytes behind the header.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 192.0.2.9 127.0.0.1 4660 25\r\nHELO\r\n", "PROXY TCP6 2001:db8::1 ::1 1 25\r\n", "PROXY UNKNOWN\r\nHELO\r\n", "PROXY TCP4 192.0.2.9",
		v2 + "HELO\r\n", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00HELO\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x00", "HELO\r\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 1<<17 {
			return
		}
		client, server := net.Pipe()
		p := &proxied{timeout: time.Minute, ready: make(chan net.Conn, 1), closing: make(chan struct{})}
		go func() {
			client.Write(input)
			client.Close()
		}()
		p.header(server)
		defer server.Close()
		select {
		case c := <-p.ready:
			if remote, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && !remote.IsValid() {
				t.Errorf("remote %v", remote)
			}
			if rest, _ := io.ReadAll(c); len(rest) > len(input) {
				t.Errorf("%d bytes became %d", len(input), len(rest))
			}
		default:
			if _, err := server.Write([]byte{0}); err == nil {
				t.Error("neither handed on nor closed")
			}
		}
	})
}
