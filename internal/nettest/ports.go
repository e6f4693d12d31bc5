package nettest

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePorts finds n TCP ports on ip that nobody uses now, below those that the
// system gives to clients and to who asks for any: between now and the start of a
// server on them, another program could take one of those.
func FreePorts(t TB, ip string, n int) []string {
	t.Helper()
	var ports []string
	for tries := 0; len(ports) < n; tries++ {
		port := strconv.Itoa(12_000 + rand.IntN(20_000))
		l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		switch {
		case err == nil:
			defer l.Close()
			ports = append(ports, port)
		case tries > 1000:
			t.Fatal(err)
		}
	}
	return ports
}
