package sasl

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// externalServer is EXTERNAL: the client has shown who it is with its
// certificate, and says at most as whom it wants to act (RFC 4422 appendix A).
type externalServer struct {
	oneMessage
	auth  Authenticator
	ctx   context.Context
	names []string // of the certificate
	who   Identity
}

func (s *externalServer) Next(response []byte) ([]byte, bool, error) {
	if challenge, err := s.ask(response); challenge != nil || err != nil {
		return challenge, false, err
	}
	if len(response) > MaxLine || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, fmt.Errorf("%w: not an authorization identity", ErrProtocol)
	}
	names := s.names
	if authzid := string(response); authzid != "" {
		own := func(name string) bool { return strings.EqualFold(name, authzid) }
		if !slices.ContainsFunc(names, own) {
			return nil, false, ErrAuthzid
		}
		names = []string{authzid}
	}
	who, err := s.auth.External(s.ctx, names)
	if err != nil {
		return nil, false, err
	}
	s.who = who
	return nil, true, nil
}

func (s *externalServer) Identity() Identity { return s.who }
