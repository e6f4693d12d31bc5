package nettest

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePorts finds n TCP ports on ip that nobody uses, below those that most
// systems give to clients and to who asks for any: between now and the start of a
// server on them, another program could take one of those. Until the test ends
// nobody else finds them: their UDP ports are the sign that they are taken.
func FreePorts(t TB, ip string, n int) []string {
	t.Helper()
	var ports []string
	for tries := 0; len(ports) < n; tries++ {
		port := strconv.Itoa(12_000 + rand.IntN(20_000))
		err := claim(t, net.JoinHostPort(ip, port))
		switch {
		case err == nil:
			ports = append(ports, port)
		case tries > 1000:
			t.Fatal(err)
		}
	}
	return ports
}

// claim takes the UDP port of addr for the time of the test, if nobody uses that
// of TCP.
func claim(t TB, addr string) error {
	sign, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		_ = sign.Close()
		return err
	}
	t.Cleanup(func() { _ = sign.Close() })
	return l.Close()
}

// Nobody is an address on this machine, such as "127.0.0.1:0", where calls are
// refused until the test ends: its port is that of a connection, and no listener
// can take it.
func Nobody(t TB, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTCP("tcp", from, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	other, err := l.Accept() // that it lasts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return c.LocalAddr().String()
}
