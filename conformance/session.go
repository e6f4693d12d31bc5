package conformance

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/xdg-go/scram"
)

// want is one reply that must be as wanted.
func (d *dialogue) want(arg string) error {
	if err := d.expect(arg); err != nil {
		return err
	}
	err := d.failed
	d.failed = nil
	return err
}

// say sends a line and wants a reply.
func (d *dialogue) say(line, reply string) error {
	if err := d.line(line); err != nil {
		return err
	}
	return d.want(reply)
}

// greet takes the greeting.
func (d *dialogue) greet(string) error { return d.want("220") }

// hello says EHLO, or LHLO to an LMTP server.
func (d *dialogue) hello(string) error {
	if d.listener == "lmtp" {
		return d.say("LHLO $client", "250")
	}
	return d.say("EHLO $client", "250")
}

// startTLS gives the command, shakes hands and says hello again.
func (d *dialogue) startTLS(string) error {
	if err := d.say("STARTTLS", "220"); err != nil {
		return err
	}
	if err := d.handshake(""); err != nil {
		return err
	}
	return d.hello("")
}

// login authenticates by PLAIN.
func (d *dialogue) login(string) error {
	return d.say(`AUTH PLAIN ${b64 \0$user\0$pass}`, "235")
}

// ready goes all the way to where MAIL may be said.
func (d *dialogue) ready(string) error {
	if err := d.greet(""); err != nil {
		return err
	}
	if err := d.hello(""); err != nil {
		return err
	}
	if d.listener == "submission" && !d.tls {
		if err := d.startTLS(""); err != nil {
			return err
		}
	}
	if strings.HasPrefix(d.listener, "submission") {
		return d.login("")
	}
	return nil
}

// parseTLS reads "[refused] [1.0|1.1|1.2|1.3]": whether the handshake must fail,
// and the highest version that the client offers.
func parseTLS(arg string) (refused bool, version uint16, err error) {
	for _, word := range strings.Fields(arg) {
		switch word {
		case "refused":
			refused = true
		case "1.0":
			version = tls.VersionTLS10
		case "1.1":
			version = tls.VersionTLS11
		case "1.2":
			version = tls.VersionTLS12
		case "1.3":
			version = tls.VersionTLS13
		default:
			return false, 0, fmt.Errorf("TLS %q", word)
		}
	}
	return refused, version, nil
}

// handshake begins TLS. Certificates are not looked at: names and authorities
// are another subject.
func (d *dialogue) handshake(arg string) error {
	refused, version, err := parseTLS(arg)
	if err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	if n := d.r.Buffered(); n > 0 {
		b, _ := d.r.Peek(n)
		return fmt.Errorf("the server goes on in clear: %q", b)
	}
	host, _, _ := net.SplitHostPort(d.target.Addr[d.listener])
	conn := tls.Client(d.raw0, &tls.Config{
		ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version,
	})
	d.deadline(d.target.timeout())
	err = conn.HandshakeContext(d.ctx)
	switch {
	case refused && err == nil:
		return errors.New("the handshake succeeds")
	case refused:
		return nil
	case err != nil:
		return fmt.Errorf("TLS: %w", err)
	}
	d.setConn(conn)
	d.tls = true
	d.ehlo, d.promised = nil, false
	return nil
}

// parseScram reads "SHA-1|SHA-256 [plus|wrong]".
func parseScram(arg string) (hash scram.HashGeneratorFcn, how string, err error) {
	name, how, _ := strings.Cut(arg, " ")
	switch {
	case how != "" && how != "plus" && how != "wrong":
	case name == "SHA-1":
		return scram.SHA1, how, nil
	case name == "SHA-256":
		return scram.SHA256, how, nil
	}
	return nil, "", fmt.Errorf("SCRAM %q", arg)
}

// scram authenticates by SCRAM (RFC 5802): with channel binding ("plus"), or
// with a password that is wrong and must be refused.
func (d *dialogue) scram(arg string) error {
	hash, how, err := parseScram(arg)
	if err != nil {
		return err
	}
	password := d.scope.vars["pass"]
	if how == "wrong" {
		password = "not " + password
	}
	client, err := hash.NewClient(d.scope.vars["user"], password, "")
	if err != nil {
		return err
	}
	mechanism, conv := "SCRAM-"+strings.Fields(arg)[0], client.NewConversation()
	if how == "plus" {
		secure, ok := d.conn.(*tls.Conn)
		if !ok {
			return errors.New("no TLS to bind to")
		}
		state := secure.ConnectionState()
		binding, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			return err
		}
		mechanism, conv = mechanism+"-PLUS", client.NewConversationWithChannelBinding(binding)
	}
	return d.exchange(mechanism, conv, how == "wrong")
}

func (d *dialogue) exchange(mechanism string, conv *scram.ClientConversation, wrong bool) error {
	first, err := conv.Step("")
	if err != nil {
		return err
	}
	line := "AUTH " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(first))
	for {
		if err := d.line(line); err != nil {
			return err
		}
		r, err := d.read()
		switch {
		case err != nil:
			return err
		case r.code == "334":
		case wrong && r.code == "535":
			return nil
		case !wrong && r.code == "235" && conv.Valid():
			return nil
		default:
			return fmt.Errorf("the exchange ends with %s (server verified: %v)", r, conv.Valid())
		}
		challenge, err := base64.StdEncoding.DecodeString(r.lines[0])
		if err != nil {
			return fmt.Errorf("challenge %s: %w", r, err)
		}
		response, err := conv.Step(string(challenge))
		if err != nil && !wrong {
			return fmt.Errorf("challenge %q: %w", challenge, err)
		}
		line = base64.StdEncoding.EncodeToString([]byte(response))
	}
}
