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

// The address at which we listen is another name of the house: its postmaster
// arrives, and nobody else is there, whoever sends.
func TestLiteralOfTheHouse(t *testing.T) {
	for listener, elsewhere := range map[string]string{"smtp": "550 5.7.1 ", "submissions": "250 "} {
		addrs := doorsUp(t, "[auth]\nallow_plaintext = true\n", "alice@example.test")
		p := dial(t, addrs[listener], listener == "submissions")
		p.do("EHLO client.test", "250")
		if listener == "submissions" {
			p.login("alice@example.test")
		}
		p.do("MAIL FROM:<alice@example.test>", "250")
		p.do("RCPT TO:<postmaster@[192.0.2.1]>", elsewhere)
		p.do("RCPT TO:<bob@[127.0.0.1]>", "550 5.1.1 ")
		p.do("RCPT TO:<bob@mx.example.test>", "550 5.1.1 ")
		p.do("RSET", "250")
		p.do("MAIL FROM:<alice@example.test>", "250")
		p.do("RCPT TO:<postmaster@[127.0.0.1]>", "250")
		p.do("DATA", "354")
		p.do("From: <alice@example.test>\r\n\r\nto the house\r\n.", "250")
		if text := firstMail(t, addrs["pop3"], "alice@example.test"); !strings.Contains(text, "to the house") {
			t.Errorf("by %s: %q", listener, text)
		}
	}
}
