package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/nettest"
)

// say gives a Conn whose peer writes text and hangs up.
func say(t *testing.T, text string) *Conn {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.WriteString(b, text)
		b.Close()
	}()
	t.Cleanup(func() {
		a.Close()
		<-done
	})
	return New(a, 0, 0)
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	c := say(t, "one\r\ntwo\n\r\n\nab\rc\r\r\n"+long+"\r\n"+long+"\r\n"+long+"y\r\n12345\r\n123456\r\nlast")
	for i, want := range []struct {
		max  int
		line string
		err  error
	}{
		{100, "one", nil}, {100, "two", nil}, {100, "", nil}, {100, "", nil}, {100, "ab\rc\r", nil},
		{10_000, long, nil}, {9_999, long[1:], ErrLineTooLong}, {20_000, long + "y", nil},
		{5, "12345", nil}, {5, "12345", ErrLineTooLong}, {100, "", io.EOF}, {100, "", io.EOF},
	} {
		line, err := c.ReadLine(want.max)
		if string(line) != want.line || !errors.Is(err, want.err) {
			t.Fatalf("line %d: %.20q, %v; want %.20q, %v", i, line, err, want.line, want.err)
		}
	}
}

// With CRLFOnly a bare LF is seen wherever it stands: behind a short line, behind
// one that is too long, and where the pieces of a long one meet.
func TestCRLFOnly(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	text := "one\r\ntwo\nthree\r\n\n\r\n" + long + "\n" + long + "\r\n"
	want := []error{nil, ErrBareLF, nil, ErrBareLF, nil, ErrBareLF, ErrLineTooLong}
	for n := readBuffer - 2; n <= readBuffer+2; n++ {
		edge := strings.Repeat("x", n)
		text += "x\r\n" + edge + "\r\n" + edge + "\n"
		want = append(want, nil, nil, ErrBareLF)
	}
	c := say(t, text)
	c.CRLFOnly = true
	for i, w := range want {
		if line, err := c.ReadLine(5000); !errors.Is(err, w) || err == nil && w != nil {
			t.Errorf("line %d: %.20q, %v; want %v", i, line, err, w)
		}
	}
}

func TestEndlessLine(t *testing.T) {
	c := say(t, strings.Repeat("x", 2*MaxDrain))
	if _, err := c.ReadLine(100); !errors.Is(err, ErrFlood) {
		t.Errorf("error %v, want ErrFlood", err)
	}
}

func TestLineBuffered(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := New(a, 0, 0)
	if c.LineBuffered() || c.Buffered() != 0 {
		t.Error("input before any has come")
	}
	go io.WriteString(b, "one\r\ntwo\r\nthr")
	if _, err := c.ReadLine(10); err != nil {
		t.Fatal(err)
	}
	if !c.LineBuffered() {
		t.Error("the second line is not seen")
	}
	if _, err := c.ReadLine(10); err != nil {
		t.Fatal(err)
	}
	if c.LineBuffered() || c.Buffered() != 3 {
		t.Errorf("part of a line is taken for one; %d buffered", c.Buffered())
	}
}

// What the system holds has arrived before anybody reads; the end of a connection is
// no input.
func TestArrived(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	here, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	there, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	c := New(here, 0, 0)
	if c.Arrived() {
		t.Error("nothing was said")
	}
	io.WriteString(there, "one\r\ntwo\r\n")
	there.Close()
	for !c.Arrived() {
		runtime.Gosched()
	}
	for _, left := range []bool{true, false} {
		if _, err := c.ReadLine(100); err != nil || c.Arrived() != left {
			t.Errorf("%v; %v, want %v", err, !left, left)
		}
	}
	if _, err := c.ReadLine(100); err != io.EOF || c.Arrived() {
		t.Errorf("%v at the end", err)
	}
}

func TestUnread(t *testing.T) {
	c := say(t, "content|next\r\nlast\r\n")
	buf := make([]byte, 8<<10)
	n, err := c.Reader().Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	content, rest, _ := bytes.Cut(buf[:n], []byte("|"))
	if string(content) != "content" {
		t.Fatalf("content %q", content)
	}
	c.Unread(rest)
	clear(buf)
	if c.Buffered() != len(rest) || !c.LineBuffered() {
		t.Errorf("%d buffered, want %d", c.Buffered(), len(rest))
	}
	for _, want := range []string{"next", "last"} {
		if line, err := c.ReadLine(10); string(line) != want || err != nil {
			t.Errorf("line %q, %v; want %q", line, err, want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := New(a, time.Minute, 10*time.Second)
		began := time.Now()
		if _, err := c.ReadLine(10); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		io.WriteString(c.Writer(), "nobody reads this")
		if err := c.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("write: %v after %v", err, time.Since(began))
		}
		c.Close()
	})
}

// Input that drips in is not waited for without end.
func TestReadBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c := New(a, time.Minute, 0)
		began := time.Now()
		c.ReadBy = began.Add(10 * time.Minute)
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			for err := error(nil); err == nil; _, err = io.WriteString(b, "x") {
				time.Sleep(59 * time.Second)
			}
		}()
		if _, err := c.ReadLine(1000); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		c.Close()
		<-dripped
	})
}

func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := New(a, time.Hour, time.Hour)
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			c.Interrupt()
		}()
		for range 2 {
			if _, err := c.ReadLine(10); !errors.Is(err, ErrInterrupted) || time.Since(began) != time.Second {
				t.Errorf("read: %v after %v", err, time.Since(began))
			}
		}
		// What is to be said can still be said.
		go func() {
			io.WriteString(c.Writer(), "bye")
			c.Flush()
			c.Close()
		}()
		if text, err := io.ReadAll(b); string(text) != "bye" || err != nil {
			t.Errorf("last words %q, %v", text, err)
		}
	})
}

func TestStartTLS(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{nettest.SelfSigned(t, nettest.Leaf{Names: []string{"mx.example.test"}})}}
	for _, injected := range []string{"", "QUIT\r\n"} {
		a, b := net.Pipe()
		srv, cli := New(a, time.Hour, time.Hour), New(b, time.Hour, time.Hour)
		done := make(chan error, 1)
		go func() {
			io.WriteString(cli.Writer(), "STARTTLS\r\n"+injected)
			err := cli.Flush()
			if err == nil && injected == "" {
				err = cli.StartTLSClient(&tls.Config{InsecureSkipVerify: true})
			}
			if err == nil && injected == "" {
				io.WriteString(cli.Writer(), "secret\r\n")
				err = cli.Flush()
			}
			done <- err
		}()
		if _, err := srv.ReadLine(10); err != nil {
			t.Fatal(err)
		}
		if srv.TLS() != nil {
			t.Error("TLS before the handshake")
		}
		err := srv.StartTLS(server)
		if injected != "" {
			if !errors.Is(err, ErrPlaintextAfterStartTLS) {
				t.Errorf("injected command: %v", err)
			}
		} else {
			if err != nil || srv.TLS() == nil {
				t.Fatalf("handshake: %v", err)
			}
			if line, err := srv.ReadLine(10); string(line) != "secret" || err != nil {
				t.Errorf("line %q, %v", line, err)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.Close()
		b.Close()
	}
}

// FuzzReadLine: the lines are those that splitting at LF gives, whatever mixture
// of lines and large pieces is read.
func FuzzReadLine(f *testing.F) {
	f.Add([]byte("a\r\nb\nc"), uint16(10))
	f.Add(bytes.Repeat([]byte("0123456789"), 1000), uint16(100))
	f.Fuzz(func(t *testing.T, in []byte, max uint16) {
		c := say(t, string(in))
		for {
			line, err := c.ReadLine(int(max))
			want, rest, ok := bytes.Cut(in, []byte("\n"))
			if !ok {
				if err == nil {
					t.Fatalf("line %q from %q", line, in)
				}
				return
			}
			in = rest
			want = bytes.TrimSuffix(want, []byte("\r"))
			if len(want) > int(max) {
				if !errors.Is(err, ErrLineTooLong) {
					t.Fatalf("%q: %v", want, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(line, want) {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
		}
	})
}
