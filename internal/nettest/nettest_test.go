package nettest

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair is two ends of a TCP connection.
func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

func TestHangUp(t *testing.T) {
	a, b := pair(t)
	c := HangUp(a, 10)
	if n, err := c.Write([]byte("12345")); n != 5 || err != nil {
		t.Errorf("below the limit: %d, %v", n, err)
	}
	if n, err := c.Write([]byte("6789012345")); n != 5 || err == nil {
		t.Errorf("over the limit: %d, %v", n, err)
	}
	if got, err := io.ReadAll(b); string(got) != "1234567890" || err != nil {
		t.Errorf("the peer got %q, %v", got, err)
	}
}

func TestStall(t *testing.T) {
	a, b := pair(t)
	c := Stall(a, 3)
	wrote := make(chan error, 1)
	write := func() {
		_, err := c.Write([]byte("12345"))
		wrote <- err
	}
	go write()
	got := make([]byte, 3)
	if _, err := io.ReadFull(b, got); string(got) != "123" || err != nil {
		t.Errorf("before the stall: %q, %v", got, err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write with a deadline: %v", err)
	}
	if _, err := io.WriteString(b, "too late"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(got); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read with a deadline: %d, %v", n, err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go write()
	c.Close()
	if err := <-wrote; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write on a closed connection: %v", err)
	}
	if _, err := c.Read(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read on a closed connection: %v", err)
	}
}

func TestHurry(t *testing.T) {
	a, b := pair(t)
	silent := make(chan struct{})
	c := Hurry(a, silent)
	if _, err := io.WriteString(b, "last words"); err != nil {
		t.Fatal(err)
	}
	close(silent)
	if err := b.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(c); string(said) != "last words" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q, %v", said, err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("writing: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("without a deadline: %v", err)
	}
	// A peer that hangs up is no silent one.
	a, b = pair(t)
	b.Close()
	if n, err := Hurry(a, nil).Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestTrickle(t *testing.T) {
	a, b := pair(t)
	text := strings.Repeat("drop by drop ", 20)
	go func() {
		_, _ = Trickle(a).Write([]byte(text))
		a.Close()
	}()
	c := Trickle(b)
	buf := make([]byte, 100)
	var got []byte
	for {
		n, err := c.Read(buf)
		if n > 1 {
			t.Fatalf("read %d bytes at once", n)
		}
		got = append(got, buf[:n]...)
		if err != nil {
			break
		}
	}
	if string(got) != text {
		t.Errorf("got %q", got)
	}
}

func TestServerCloses(t *testing.T) {
	s, err := NewDNS(Records{}).Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := s.tcp.Listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("TCP: %v", err)
	}
	if _, _, err := s.udp.PacketConn.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("UDP: %v", err)
	}
}

// TestNobody finds that nobody listens, and that nobody else can.
func TestNobody(t *testing.T) {
	addr := Nobody(t, "127.0.0.1:0")
	if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Errorf("a call: %v", err)
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		l.Close()
		t.Error("the port can be taken")
	}
}

// TestFreePorts finds ports that are free, and that it finds for nobody else.
func TestFreePorts(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		for _, port := range FreePorts(t, "127.0.0.1", 5) {
			l, err := net.Listen("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			if seen[port] {
				t.Errorf("%s comes twice", port)
			}
			seen[port] = true
			if p, err := net.ListenPacket("udp", "127.0.0.1:"+port); err == nil {
				p.Close()
				t.Errorf("%s is not claimed", port)
			}
		}
	}
}
