package sasl

import (
	"bytes"
	"context"
	"fmt"
	"unicode/utf8"
)

// oneMessage is the frame of a mechanism in which the client says all in one
// message, at once or when asked with an empty challenge.
type oneMessage struct{ asked, over bool }

// ask is the challenge for a client that has said nothing yet; nil when response
// is its message. A second message is an error.
func (m *oneMessage) ask(response []byte) ([]byte, error) {
	if m.over {
		return nil, fmt.Errorf("%w: exchange is over", ErrProtocol)
	}
	if response == nil && !m.asked {
		m.asked = true
		return []byte{}, nil
	}
	m.over = true
	return nil, nil
}

// plainServer is PLAIN: one message, authzid NUL authcid NUL password (RFC 4616
// section 2).
type plainServer struct {
	oneMessage
	auth Authenticator
	ctx  context.Context
	who  Identity
}

func (s *plainServer) Next(response []byte) ([]byte, bool, error) {
	if challenge, err := s.ask(response); challenge != nil || err != nil {
		return challenge, false, err
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || !utf8.Valid(response) || len(response) > MaxLine {
		return nil, false, fmt.Errorf("%w: not a PLAIN message", ErrProtocol)
	}
	login := string(parts[1])
	who, err := s.auth.Authenticate(s.ctx, login, string(parts[2]))
	if err != nil {
		return nil, false, err
	}
	if err := sameIdentity(string(parts[0]), login, who); err != nil {
		return nil, false, err
	}
	s.who = who
	return nil, true, nil
}

func (s *plainServer) Identity() Identity { return s.who }

// loginServer is LOGIN: it asks for the name, then for the password. Clients
// look for exactly these prompts.
type loginServer struct {
	auth  Authenticator
	ctx   context.Context
	step  int
	login string
	who   Identity
}

func (s *loginServer) Next(response []byte) ([]byte, bool, error) {
	if len(response) > MaxLine || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		s.step = 3
		return nil, false, fmt.Errorf("%w: not a LOGIN message", ErrProtocol)
	}
	if s.step == 0 && response != nil {
		s.step = 1 // the name came as initial response
	}
	s.step++
	switch s.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		s.login = string(response)
		return []byte("Password:"), false, nil
	case 3:
		if s.login == "" || len(response) == 0 {
			return nil, false, fmt.Errorf("%w: empty name or password", ErrProtocol)
		}
		who, err := s.auth.Authenticate(s.ctx, s.login, string(response))
		if err != nil {
			return nil, false, err
		}
		s.who = who
		return nil, true, nil
	}
	s.step = 3
	return nil, false, fmt.Errorf("%w: exchange is over", ErrProtocol)
}

func (s *loginServer) Identity() Identity { return s.who }
