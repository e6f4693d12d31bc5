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
	// withheld answers its parameters of MAIL while it is not offered. nil: they
	// are not known.
	withheld *status.Error
	mail     map[string]mailParam
	rcpt     map[string]rcptParam
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
		{keyword: "CHUNKING"}, // RFC 3030
		binaryExtension(),
		{keyword: "ENHANCEDSTATUSCODES"}, // RFC 2034
		dsnExtension(),
		requireTLSExtension(),
		futureReleaseExtension(),
		deliverByExtension(),
		priorityExtension(),
		limitsExtension(),
		rrvsExtension(),
		solicitExtension(),
		startTLSExtension(),
		authExtension(),
		lookupExtension("VRFY"),
		lookupExtension("EXPN"),
		etrnExtension(),
		xclientExtension(),
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

func (s *session) isOffered(e extension) bool {
	_, ok := s.offers(e)
	return ok
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
		if refusal := s.mailParam(env, p); refusal != nil {
			return refusal
		}
	}
	if !env.From.IsASCII() && !env.UTF8 {
		return needsUTF8()
	}
	return contradiction(env)
}

func (s *session) mailParam(env *envelope.Envelope, p smtp.Param) *status.Error {
	for _, e := range s.srv.extensions {
		take := e.mail[p.Key]
		switch {
		case take == nil || !s.extended:
			// Without EHLO there are no parameters (RFC 5321 section 4.1.1.11).
		case s.isOffered(e):
			return take(s, env, p.Value)
		case e.withheld != nil:
			return e.withheld
		}
	}
	return unknownParam(p)
}

// rcptParams takes the parameters of RCPT into r.
func (s *session) rcptParams(r *envelope.Rcpt, params smtp.Params) *status.Error {
	for _, p := range params {
		if refusal := s.rcptParam(r, p); refusal != nil {
			return refusal
		}
	}
	if !r.To.IsASCII() && !s.env.UTF8 {
		return needsUTF8()
	}
	return nil
}

func (s *session) rcptParam(r *envelope.Rcpt, p smtp.Param) *status.Error {
	for _, e := range s.srv.extensions {
		if take := e.rcpt[p.Key]; take != nil && s.extended && s.isOffered(e) {
			return take(s, r, p.Value)
		}
	}
	return unknownParam(p)
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
