package sasl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// bearerServer is OAUTHBEARER (RFC 7628) or XOAUTH2: one message with a token. A
// refusal is told in JSON first, and the exchange fails with the client's next
// message, whatever it says (RFC 7628 section 3.2.3).
type bearerServer struct {
	auth    Authenticator
	ctx     context.Context
	parse   func(string) (login, token string, err error)
	refusal []byte
	step    int
	refused error
	who     Identity
}

const bearerOver = 3

func (s *bearerServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case response == nil && s.step == 0:
		s.step = 1
		return []byte{}, false, nil
	case s.step <= 1:
		s.step = bearerOver
		return s.first(response)
	case s.refused != nil:
		err := s.refused
		s.step, s.refused = bearerOver, nil
		return nil, false, err
	}
	return nil, false, fmt.Errorf("%w: exchange is over", ErrProtocol)
}

func (s *bearerServer) Identity() Identity { return s.who }

func (s *bearerServer) first(response []byte) ([]byte, bool, error) {
	if len(response) > MaxLine || !utf8.Valid(response) {
		return nil, false, fmt.Errorf("%w: not a message with a token", ErrProtocol)
	}
	login, token, err := s.parse(string(response))
	if err != nil {
		return nil, false, err
	}
	who, err := s.auth.Bearer(s.ctx, login, token)
	if err == nil {
		err = sameIdentity(login, who.Login, who)
	}
	switch {
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrAuthzid):
		s.refused = err
		return s.refusal, false, nil
	case err != nil:
		return nil, false, err
	}
	s.who = who
	return nil, true, nil
}

// oauthRefusal is the error result of RFC 7628 section 3.2.2.
func oauthRefusal(openID string) []byte {
	b, _ := json.Marshal(struct { // strings always encode
		Status string `json:"status"`
		OpenID string `json:"openid-configuration"`
	}{"invalid_token", openID})
	return b
}

// xoauth2Refusal is what Google's and Microsoft's servers say.
var xoauth2Refusal = []byte(`{"status":"401","schemes":"bearer"}`)

// parseOAuthBearer reads a client-resp (RFC 7628 section 3.1). An empty auth
// value, with which clients ask for the issuer, is an empty token.
func parseOAuthBearer(message string) (login, token string, err error) {
	// The GS2 header is that of RFC 5801 section 4, without channel binding.
	header, pairs, ok := strings.Cut(message, "\x01")
	flag, rest, ok2 := strings.Cut(header, ",")
	authzid, after, ok3 := strings.Cut(rest, ",")
	if !ok || !ok2 || !ok3 || after != "" || flag != "n" && flag != "y" {
		return "", "", fmt.Errorf("%w: no GS2 header", ErrProtocol)
	}
	if authzid != "" {
		login, ok = strings.CutPrefix(authzid, "a=")
		if login, err = saslName(login); !ok || err != nil {
			return "", "", fmt.Errorf("%w: bad authorization identity", ErrProtocol)
		}
	}
	token, err = bearerToken(pairs)
	return login, token, err
}

// parseXOAuth2 reads "user=" name ^A "auth=Bearer " token ^A ^A.
func parseXOAuth2(message string) (login, token string, err error) {
	rest, ok := strings.CutPrefix(message, "user=")
	login, pairs, ok2 := strings.Cut(rest, "\x01")
	if !ok || !ok2 || login == "" || strings.IndexByte(login, 0) >= 0 {
		return "", "", fmt.Errorf("%w: no user", ErrProtocol)
	}
	token, err = bearerToken(pairs)
	return login, token, err
}

// bearerToken finds the token in "key=value ^A … ^A"; unknown keys are ignored.
func bearerToken(pairs string) (token string, err error) {
	body, ok := strings.CutSuffix(pairs, "\x01\x01")
	if !ok {
		return "", fmt.Errorf("%w: no end of the key/value pairs", ErrProtocol)
	}
	found := false
	for pair := range strings.SplitSeq(body, "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return "", fmt.Errorf("%w: not a key/value pair", ErrProtocol)
		}
		if key != "auth" {
			continue
		}
		if found {
			return "", fmt.Errorf("%w: two tokens", ErrProtocol)
		}
		found = true
		scheme, word, _ := strings.Cut(value, " ") // RFC 6750 section 2.1; the scheme in any case
		if value != "" && !strings.EqualFold(scheme, "Bearer") {
			return "", fmt.Errorf("%w: not a bearer token", ErrProtocol)
		}
		token = strings.TrimLeft(word, " ")
	}
	if !found {
		return "", fmt.Errorf("%w: no token", ErrProtocol)
	}
	return token, nil
}

// saslName reads a saslname: "=2C" is a comma and "=3D" an equals sign (RFC 5801
// section 4).
func saslName(s string) (string, error) {
	if s == "" || strings.IndexByte(s, 0) >= 0 {
		return "", ErrProtocol
	}
	var b strings.Builder
	for {
		text, rest, escaped := strings.Cut(s, "=")
		b.WriteString(text)
		switch {
		case !escaped:
			return b.String(), nil
		case strings.HasPrefix(rest, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			b.WriteByte('=')
		default:
			return "", ErrProtocol
		}
		s = rest[2:]
	}
}
