package smtpd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/sasl"
)

// sink is a Handler that takes everything and keeps nothing.
type sink struct{}

func (sink) Mail(context.Context, *envelope.Envelope, int64) error         { return nil }
func (sink) Rcpt(context.Context, *envelope.Envelope, envelope.Rcpt) error { return nil }
func (sink) Data(context.Context, *envelope.Envelope) (Transfer, error)    { return sink{}, nil }
func (sink) Authenticator(netip.Addr, string) sasl.Authenticator           { return people{} }
func (sink) Write(p []byte) (int, error)                                   { return len(p), nil }
func (sink) Commit(context.Context) (Outcome, error) {
	return Outcome{ID: id.ID("0123456789abcdef")}, nil
}
func (sink) Abort() {}

// BenchmarkUnstuff is the scanner alone.
func BenchmarkUnstuff(b *testing.B) {
	for name, line := range map[string]string{"plain": "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 012345\r\n", "dots": "..a line with a dot in front of it\r\n"} {
		b.Run(name, func(b *testing.B) {
			content := bytes.Repeat([]byte(line), (32<<10)/len(line))
			buf := make([]byte, len(content)+16)
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				var u unstuffer
				n := u.start(buf)
				u.scan(buf[:n+copy(buf[n:], content)])
			}
		})
	}
}

// BenchmarkContent sends messages over loopback TCP.
func BenchmarkContent(b *testing.B) {
	for _, size := range []int{10 << 10, 10 << 20} {
		for _, verb := range []string{"DATA", "BDAT"} {
			b.Run(fmt.Sprintf("%s/%dKB", verb, size>>10), func(b *testing.B) {
				s := New(Config{Hostname: "mx.example.test", Limits: Limits{Messages: -1, Commands: -1}}, sink{})
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- s.Serve(l) }()
				line := []byte("0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456\r\n")
				content := bytes.Repeat(line, size/len(line))
				ended := append(bytes.Clone(content), ".\r\n"...)
				p := dial(b, l.Addr().String())
				p.do("EHLO x", "250")
				b.SetBytes(int64(len(content)))
				for b.Loop() {
					p.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n")
					if verb == "DATA" {
						p.send("DATA\r\n")
						p.want("250")
						p.want("250")
						p.want("354")
						p.conn.Write(ended)
					} else {
						p.send(fmt.Sprintf("BDAT %d LAST\r\n", len(content)))
						p.want("250")
						p.want("250")
						p.conn.Write(content)
					}
					p.want("250")
				}
				p.conn.Close()
				s.Shutdown(context.Background())
				<-done
			})
		}
	}
}

// BenchmarkLineRule is the look at line ends alone.
func BenchmarkLineRule(b *testing.B) {
	line := "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 012345\r\n"
	content := bytes.Repeat([]byte(line), contentBuffer/len(line))
	for name, rule := range map[string]Newlines{"refuse": RefuseBare, "normalise": NormaliseBare} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			l := lineRule{newlines: rule}
			for b.Loop() {
				if _, ok := l.next(content); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}
