package intake

import (
	"net/netip"
	"testing"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
)

// TestReceived writes the trace field that the standards ask for: RFC 5321
// section 4.4, RFC 3848, RFC 6531 section 4.3, RFC 6710 section 4.1.
func TestReceived(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one := []envelope.Rcpt{{To: addr("alice@example.test")}}
	two := append(one[:1:1], envelope.Rcpt{To: addr("bob@example.test")})
	for want, env := range map[string]envelope.Envelope{
		"from client.test ([192.0.2.7])\r\n\tby mx.house.test (Posthouse) with ESMTP id ID\r\n\tfor <alice@example.test>": {
			Rcpts: one, Origin: envelope.Origin{Helo: "client.test", Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Protocol: "ESMTP"},
		},
		"from client.test ([IPv6:2001:db8::7])\r\n\tby mx.house.test (Posthouse) with ESMTPSA id ID\r\n\t(TLS1.3 TLS_AES_128_GCM_SHA256)": {
			Rcpts: two, Origin: envelope.Origin{
				Helo: "client.test", Remote: netip.MustParseAddrPort("[2001:db8::7]:4711"), Protocol: "ESMTPSA",
				TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", Login: "alice@example.test", Account: 1,
			},
		},
		"from x (named.test [192.0.2.7])\r\n\tby mx.house.test (Posthouse) with SMTP id ID PRIORITY -3\r\n\tfor <alice@example.test>": {
			Rcpts: one, Priority: -3, Origin: envelope.Origin{Helo: "x", Name: "named.test", Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Protocol: "SMTP"},
		},
		"from neighbour\r\n\tby mx.house.test (Posthouse) with LMTP id ID\r\n\tfor <alice@example.test>": {
			Rcpts: one, Origin: envelope.Origin{Helo: "neighbour", Protocol: "LMTP"},
		},
		"from neighbour\r\n\tby mx.house.test (Posthouse) with LMTP\r\n\t(SOLICIT=net.example:ADV,a)\r\n\tid ID\r\n\tfor <alice@example.test>": {
			Rcpts: one, Solicit: "net.example:ADV,a", Origin: envelope.Origin{Helo: "neighbour", Protocol: "LMTP"},
		},
		"by mx.house.test (Posthouse) id ID\r\n\tfor <alice@example.test>": {Rcpts: one},
	} {
		env.ID, env.Received = id.ID("ID"), noon
		if got, want := receivedField(&env, "mx.house.test", false), "Received: "+want+";\r\n\tSun, 01 Mar 2026 12:00:00 +0000\r\n"; got != want {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	}
}
