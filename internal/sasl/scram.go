package sasl

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/xdg-go/scram"
)

// bindable reports whether a connection can be bound to.
func (p *Policy) bindable(state *tls.ConnectionState) bool {
	_, ok := p.binding(state, nil)
	return ok
}

// binding is what a client that speaks first like this is to be bound to; for
// one that names none the best there is.
func (p *Policy) binding(state *tls.ConnectionState, first []byte) (scram.ChannelBinding, bool) {
	if state == nil {
		return scram.ChannelBinding{}, false
	}
	// Keying material can be exported with TLS 1.3, and with 1.2 when it has the
	// extended master secret (RFC 9266 section 4.2).
	exporter, err := scram.NewTLSExporterBinding(state)
	exports := err == nil
	switch {
	case bytes.HasPrefix(first, []byte("p=tls-server-end-point,")):
		return p.endPoint()
	case bytes.HasPrefix(first, []byte("p=tls-unique,")):
		// What old clients of TLS 1.2 know. It is sound with the extended master
		// secret (RFC 7627 section 4); in TLS 1.3 there is none (RFC 8446 appendix C.5).
		usable := exports && state.Version <= tls.VersionTLS12 && len(state.TLSUnique) > 0
		return scram.NewTLSUniqueBinding(state.TLSUnique), usable
	case exports:
		return exporter, true
	}
	return p.endPoint()
}

// endPoint is tls-server-end-point (RFC 5929 section 4). Certificates whose
// signature has no hash of its own, such as Ed25519, cannot be bound to.
func (p *Policy) endPoint() (scram.ChannelBinding, bool) {
	if p.Certificate == nil {
		return scram.ChannelBinding{}, false
	}
	leaf := p.Certificate()
	if leaf == nil {
		return scram.ChannelBinding{}, false
	}
	// The library looks where a client finds the server's certificate.
	shown := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	binding, err := scram.NewTLSServerEndpointBinding(shown)
	return binding, err == nil
}

// scramServer is SCRAM: client-first, server-first, client-final, server-final
// (RFC 5802 section 5), and an empty response to the last, as our protocols have
// no room for data in their success reply.
type scramServer struct {
	auth    Authenticator
	ctx     context.Context
	hash    crypto.Hash
	plus    bool
	state   *tls.ConnectionState
	policy  *Policy
	conv    *scram.ServerConversation
	step    int
	login   string
	faulted error // from the Authenticator, through the library
	who     Identity
}

const scramOver = 4

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
	generator := scram.SHA256
	if s.hash == crypto.SHA1 {
		generator = scram.SHA1
	}
	server, err := generator.NewServer(s.lookup)
	if err != nil {
		s.step = scramOver
		return nil, false, err
	}
	s.conv = server.NewConversation()
	if binding, ok := s.policy.binding(s.state, response); ok && (s.plus || !s.policy.HidePlus) {
		// Also without -PLUS: a client that says "y" has been shown a list from
		// which somebody took -PLUS out (RFC 5802 section 6).
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

// final judges client-final-message; the outcome is recorded here, before the
// client could hang up on it.
func (s *scramServer) final(response []byte) ([]byte, bool, error) {
	challenge, err := s.conv.Step(string(response))
	ok := err == nil && s.conv.Valid()
	who, doneErr := s.auth.ScramDone(s.ctx, s.login, ok)
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
	secret, err := s.auth.Scram(s.ctx, login, s.hash)
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
