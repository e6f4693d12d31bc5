package smtpd

import (
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// extension is one service extension (RFC 5321 section 2.2). What it adds is
// known exactly while it is offered, so that nothing is announced that does not
// work, and nothing works that is not announced.
type extension struct {
	keyword string
	// offered gives what stands behind the keyword in the reply to EHLO; ok is
	// false when the extension is not offered here and now. nil: always, nothing.
	offered func(s *session) (params string, ok bool)
	mail    map[string]mailParam
	rcpt    map[string]rcptParam
}

// mailParam takes a parameter of MAIL into env; value is "" when there is none.
type mailParam func(s *session, env *envelope.Envelope, value string) *status.Error

// rcptParam takes a parameter of RCPT into r.
type rcptParam func(s *session, r *envelope.Rcpt, value string) *status.Error

// extensionList is all that this server knows, in the order of EHLO.
func extensionList() []extension {
	return []extension{
		sizeExtension(),
		{keyword: "PIPELINING"}, // RFC 2920
		eightBitExtension(),
		utf8Extension(),
		{keyword: "CHUNKING"},            // RFC 3030
		{keyword: "ENHANCEDSTATUSCODES"}, // RFC 2034
		dsnExtension(),
		startTLSExtension(),
		authExtension(),
	}
}

// announced is the lines of EHLO behind the first.
func (s *session) announced() []string {
	var lines []string
	for _, e := range s.srv.extensions {
		params, ok := s.offers(e)
		if !ok {
			continue
		}
		line := e.keyword
		if params != "" {
			line += " " + params
		}
		lines = append(lines, line)
	}
	return lines
}

func (s *session) offers(e extension) (params string, ok bool) {
	if e.offered == nil {
		return "", true
	}
	return e.offered(s)
}

// mailParams takes the parameters of MAIL into env.
func (s *session) mailParams(env *envelope.Envelope, params smtp.Params) *status.Error {
	for _, p := range params {
		take := s.findMailParam(p.Key)
		if take == nil {
			return unknownParam(p)
		}
		if refusal := take(s, env, p.Value); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (s *session) findMailParam(key string) mailParam {
	for _, e := range s.srv.extensions {
		if take := e.mail[key]; take != nil && s.usable(e) {
			return take
		}
	}
	return nil
}

// rcptParams takes the parameters of RCPT into r.
func (s *session) rcptParams(r *envelope.Rcpt, params smtp.Params) *status.Error {
	for _, p := range params {
		take := s.findRcptParam(p.Key)
		if take == nil {
			return unknownParam(p)
		}
		if refusal := take(s, r, p.Value); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (s *session) findRcptParam(key string) rcptParam {
	for _, e := range s.srv.extensions {
		if take := e.rcpt[key]; take != nil && s.usable(e) {
			return take
		}
	}
	return nil
}

// usable reports whether a client may use what e adds. Without EHLO there are no
// parameters (RFC 5321 section 4.1.1.11).
func (s *session) usable(e extension) bool {
	_, ok := s.offers(e)
	return ok && s.extended
}

// flag makes a parameter out of fn that has no value.
func flag(fn func(*session, *envelope.Envelope) *status.Error) mailParam {
	return func(s *session, env *envelope.Envelope, value string) *status.Error {
		if value != "" {
			return badParam("This parameter takes no value")
		}
		return fn(s, env)
	}
}

func unknownParam(p smtp.Param) *status.Error {
	return status.New(555, 5, 4, "Parameter "+p.Key+" not recognized")
}

// badParam refuses the value of a parameter (RFC 5321 section 4.3.2, RFC 5248
// X.5.4).
func badParam(text string) *status.Error { return status.New(501, 5, 4, text) }
