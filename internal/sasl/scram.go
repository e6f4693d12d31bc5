package sasl

import (
	"bytes"
	"crypto/tls"
	"fmt"

	"github.com/xdg-go/scram"
)

// Bindable reports whether SCRAM-SHA-256-PLUS can be used on a connection: TLS
// 1.3, or 1.2 with the extended master secret (RFC 9266 section 4.2; without it
// the keying material cannot be exported).
func Bindable(state *tls.ConnectionState) bool {
	if state == nil {
		return false
	}
	_, err := scram.NewTLSExporterBinding(state)
	return err == nil
}

// scramServer is SCRAM-SHA-256: client-first, server-first, client-final,
// server-final (RFC 5802 section 5), and an empty response to the last, as our
// protocols have no room for data in their success reply.
type scramServer struct {
	auth    Authenticator
	info    Info
	plus    bool
	conv    *scram.ServerConversation
	step    int
	login   string
	faulted error // from the Authenticator, through the library
	who     Identity
}

const scramOver = 4

func newScram(auth Authenticator, info Info, plus bool) (Server, error) {
	return &scramServer{auth: auth, info: info, plus: plus}, nil
}

func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	if len(response) > MaxLine {
		s.step = scramOver
	}
	if response == nil && s.step == 0 {
		s.step = 1
		return []byte{}, false, nil
	}
	switch s.step {
	case 0, 1:
		s.step = 2
		return s.first(response)
	case 2:
		s.step = 3
		return s.final(response)
	case 3:
		s.step = scramOver
		if len(response) > 0 {
			return nil, false, fmt.Errorf("%w: data after the end", ErrProtocol)
		}
		return nil, true, nil
	}
	return nil, false, fmt.Errorf("%w: exchange is over", ErrProtocol)
}

func (s *scramServer) Identity() Identity { return s.who }

// first answers client-first-message.
func (s *scramServer) first(response []byte) ([]byte, bool, error) {
	// The flag must agree with the mechanism (RFC 5802 section 6).
	if bytes.HasPrefix(response, []byte("p=")) != s.plus {
		s.step = scramOver
		return nil, false, fmt.Errorf("%w: channel binding does not agree with the mechanism", ErrProtocol)
	}
	server, err := scram.SHA256.NewServer(s.lookup)
	if err != nil {
		s.step = scramOver
		return nil, false, err
	}
	s.conv = server.NewConversation()
	if binding, ok := s.binding(response); ok && (s.plus || !s.info.Unbound) {
		// Also without -PLUS: a client that says "y" has been shown a list from
		// which somebody took -PLUS out.
		s.conv = server.NewConversationWithChannelBinding(binding)
	}
	challenge, err := s.conv.Step(string(response))
	if err != nil {
		s.step = scramOver
		if s.faulted != nil {
			return nil, false, s.faulted
		}
		return nil, false, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	return []byte(challenge), false, nil
}

// binding is what a client that speaks first like this is to be bound to.
func (s *scramServer) binding(first []byte) (scram.ChannelBinding, bool) {
	if !Bindable(s.info.TLS) {
		return scram.ChannelBinding{}, false
	}
	// tls-unique is what TLS 1.2 clients know. It is sound with the extended
	// master secret, which Bindable has seen to (RFC 7627 section 4).
	if s.info.TLS.Version <= tls.VersionTLS12 && bytes.HasPrefix(first, []byte("p=tls-unique,")) {
		return scram.NewTLSUniqueBinding(s.info.TLS.TLSUnique), len(s.info.TLS.TLSUnique) > 0
	}
	binding, err := scram.NewTLSExporterBinding(s.info.TLS)
	return binding, err == nil
}

// final judges client-final-message; the outcome is recorded here, before the
// client could hang up on it.
func (s *scramServer) final(response []byte) ([]byte, bool, error) {
	challenge, err := s.conv.Step(string(response))
	ok := err == nil && s.conv.Valid()
	who, doneErr := s.auth.ScramDone(s.info.Ctx, s.login, ok)
	switch {
	case !ok:
		s.step = scramOver
		if doneErr == nil {
			doneErr = ErrCredentials
		}
		return nil, false, doneErr
	case doneErr != nil:
		s.step = scramOver
		return nil, false, doneErr
	}
	if err := sameIdentity(s.conv.AuthzID(), s.login, who); err != nil {
		s.step = scramOver
		return nil, false, err
	}
	s.who = who
	return []byte(challenge), false, nil
}

// lookup is the library's question for a user's secret.
func (s *scramServer) lookup(login string) (scram.StoredCredentials, error) {
	s.login = login
	secret, err := s.auth.Scram(s.info.Ctx, login)
	if err != nil {
		s.faulted = err
		return scram.StoredCredentials{}, err
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(secret.Salt), Iters: secret.Iterations},
		StoredKey:  secret.StoredKey,
		ServerKey:  secret.ServerKey,
	}, nil
}
