package pop3d

import (
	"strconv"
	"strings"

	"posthouse/internal/mailbox"
)

// message reads a message number: a position in the snapshot.
func (s *session) message(arg string) (i int, ok bool) {
	n, err := strconv.ParseUint(arg, 10, 31)
	switch {
	case err != nil:
		s.mistake("Not a message number")
	case n == 0 || int(n) > s.snap.Len():
		s.err("No such message")
	case s.deleted[int(n)-1]:
		s.err("Message is deleted")
	default:
		return int(n) - 1, true
	}
	return 0, false
}

// totals counts what is not marked as deleted.
func (s *session) totals() (n int, octets int64) {
	for i, e := range s.snap.Range(0, s.snap.Len()) {
		if !s.deleted[i] {
			n++
			octets += s.octets(i, e)
		}
	}
	return n, octets
}

func (s *session) cmdNoop(string) { s.ok("") }

// cmdStat: RFC 1939 section 5.
func (s *session) cmdStat(string) {
	if !s.measure() {
		return
	}
	n, octets := s.totals()
	s.ok("%d %d", n, octets)
}

// cmdList: RFC 1939 section 5.
func (s *session) cmdList(arg string) {
	if !s.measure() {
		return
	}
	if arg != "" {
		if i, ok := s.message(arg); ok {
			e := s.snap.At(i)
			s.ok("%d %d", i+1, s.octets(i, &e))
		}
		return
	}
	n, octets := s.totals()
	s.ok("%d messages (%d octets)", n, octets)
	s.each(func(b []byte, i int, e *mailbox.Entry) []byte { return strconv.AppendInt(b, s.octets(i, e), 10) })
}

// cmdUIDL: RFC 1939 section 7.
func (s *session) cmdUIDL(arg string) {
	validity := uint64(s.snap.Status().UIDValidity)
	uid := func(b []byte, _ int, e *mailbox.Entry) []byte {
		b = append(strconv.AppendUint(b, validity, 10), '.')
		return strconv.AppendUint(b, uint64(e.UID), 10)
	}
	if arg != "" {
		if i, ok := s.message(arg); ok {
			e := s.snap.At(i)
			s.ok("%d %s", i+1, uid(nil, i, &e))
		}
		return
	}
	s.ok("Unique ids follow")
	s.each(uid)
}

// each writes a line per message that is not marked as deleted, and the end.
func (s *session) each(value func([]byte, int, *mailbox.Entry) []byte) {
	var b []byte
	for i, e := range s.snap.Range(0, s.snap.Len()) {
		if s.deleted[i] {
			continue
		}
		b = append(strconv.AppendInt(b[:0], int64(i)+1, 10), ' ')
		b = append(value(b, i, e), "\r\n"...)
		s.conn.Writer().Write(b)
	}
	s.line(".")
}

// cmdDele: RFC 1939 section 5.
func (s *session) cmdDele(arg string) {
	if i, ok := s.message(arg); ok {
		s.deleted[i] = true
		s.ok("Goes at QUIT")
	}
}

// cmdRset: RFC 1939 section 5.
func (s *session) cmdRset(string) {
	clear(s.deleted)
	s.ok("%d messages", s.snap.Len())
}

// cmdQuit: RFC 1939 section 6: the update state. The mailbox is given back before
// the reply: a client that has it may come again at once.
func (s *session) cmdQuit(string) {
	defer s.giveBack()
	s.over = "quit"
	if len(s.deleted) == 0 {
		s.ok("Bye")
		return
	}
	var uids mailbox.UIDSet
	for i, e := range s.snap.Range(0, s.snap.Len()) {
		if s.deleted[i] {
			uids = append(uids, mailbox.UIDRange{First: e.UID, Last: e.UID})
		}
	}
	if _, err := s.box.Expunge(s.srv.ctx, uids, true); err != nil {
		s.log().Error("deleted messages not removed", "login", s.login, "err", err)
		s.err("[SYS/TEMP] Some deleted messages not removed")
		return
	}
	s.gone = len(s.deleted)
	s.ok("Bye")
}

// cmdRetr: RFC 1939 section 5.
func (s *session) cmdRetr(arg string) {
	if i, ok := s.message(arg); ok {
		s.send(i, -1)
	}
}

// cmdTop: RFC 1939 section 7.
func (s *session) cmdTop(arg string) {
	number, count, _ := strings.Cut(arg, " ")
	lines, err := strconv.ParseUint(count, 10, 31)
	if err != nil {
		s.mistake("TOP needs a message and a number of lines")
		return
	}
	if i, ok := s.message(number); ok {
		s.send(i, int(lines))
	}
}
