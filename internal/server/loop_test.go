package server

import (
	"strings"
	"testing"
)

// A message that has gone round is refused, whichever mark of it there is; one
// that merely came a long way is not.
func TestLoops(t *testing.T) {
	addrs := doorsUp(t, "", "alice@example.test", "list@example.test > alice@example.test, far@elsewhere.test")
	p := dial(t, addrs["smtp"], false)
	p.do("EHLO client.test", "250")
	for _, c := range []struct{ to, head, reply string }{
		{"alice", strings.Repeat("Received: by hop\r\n", 100), "250 "},
		{"alice", strings.Repeat("Received: by hop\r\n", 101), "554 5.4.6 "},
		{"alice", "Delivered-To: bob@example.test\r\n", "250 "},
		{"list", "Delivered-To: list@example.test\r\n", "554 5.4.6 "},
		{"list", "Delivered-To: other@example.test\r\ndelivered-to: LIST@example.test\r\n", "554 5.4.6 "},
	} {
		p.do("MAIL FROM:<a@client.test>", "250")
		p.do("RCPT TO:<"+c.to+"@example.test>", "250")
		p.do("DATA", "354")
		p.do(c.head+"Subject: hops\r\n\r\nround and round\r\n.", c.reply)
	}
}
