package smtpd

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthouse/internal/smtp"
)

// etrnExtension is ETRN (RFC 1985), on the door for other servers, when there are
// domains that may use it.
func etrnExtension() extension {
	return extension{keyword: "ETRN", offered: func(s *session) (string, bool) {
		return "", s.mayETRN()
	}}
}

// etrnEvery is how often a node's queue is started at most: looking through a
// long queue takes time, and whoever asks more often is told that it has been.
const etrnEvery = time.Minute

// cmdETRN starts the queue for a domain, or with "@" for a domain and all below
// it (RFC 1985 section 5). Nothing is sent to who asks, only to where mail for
// the domain goes anyway.
func (s *session) cmdETRN(arg string) {
	node, below := strings.CutPrefix(arg, "@")
	switch {
	case s.helo == "":
		s.badSequence("Say hello first")
		return
	case s.env != nil:
		s.badSequence("A transaction is under way") // RFC 1985 section 5
		return
	case strings.HasPrefix(arg, "#"):
		s.reply(458, enhanced(4, 5, 4), "Unable to queue messages: there are no queues with names here")
		return
	case !smtp.ValidDomain(node):
		s.badArguments("ETRN [@]domain")
		return
	}
	node = smtp.CanonicalDomain(node)
	if !s.etrnListed(node) {
		s.reply(459, enhanced(4, 7, 1), "Node "+node+" not allowed: its queue is run by its own schedule")
		return
	}
	if !s.srv.etrnDue(node) {
		s.reply(250, enhanced(2, 0, 0), "Queuing for node "+node+" started")
		return
	}
	n, err := s.cfg.Desk.StartQueue(s.srv.ctx, node, below)
	switch {
	case err != nil:
		s.log.Error("ETRN", "node", node, "err", err)
		s.reply(458, enhanced(4, 3, 0), "Unable to queue messages for node "+node)
	case n == 0:
		s.reply(251, enhanced(2, 0, 0), "No messages waiting for node "+node)
	default:
		s.log.Info("queue started", "node", node, "messages", n)
		s.reply(253, enhanced(2, 0, 0), strconv.Itoa(n)+" pending messages for node "+node+" started")
	}
}

func (s *session) mayETRN() bool {
	return s.cfg.Mode == MX && s.cfg.Desk != nil && len(s.cfg.ETRN) > 0
}

// etrnListed reports whether node is a listed domain or below one.
func (s *session) etrnListed(node string) bool {
	return s.mayETRN() && slices.ContainsFunc(s.cfg.ETRN, func(domain string) bool {
		return node == domain || strings.HasSuffix(node, "."+domain)
	})
}

// maxETRN is how many nodes' queues are started in etrnEvery.
const maxETRN = 100

// etrnDue reports whether a node's queue is to be started: it has not been just
// now, with the domains below it or without.
func (s *Server) etrnDue(node string) bool {
	now := s.cfg.Load().Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.etrned, func(_ string, last time.Time) bool { return now.Sub(last) >= etrnEvery })
	if _, just := s.etrned[node]; just || len(s.etrned) >= maxETRN {
		return false
	}
	s.etrned[node] = now
	return true
}
