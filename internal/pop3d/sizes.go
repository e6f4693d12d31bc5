package pop3d

import (
	"errors"
	"iter"

	"posthouse/internal/mailbox"
	"posthouse/internal/message"
)

// octets is how long message i is when it is sent.
func (s *session) octets(i int, e *mailbox.Entry) int64 {
	if n, ok := s.downgraded[i]; ok {
		return n
	}
	return int64(e.Size)
}

// measure finds, once, the messages that are sent with another header than they
// have: what LIST says of them should be what RETR sends (RFC 6856 section 2.1).
// Some clients take the length of the header from that of the message. False when
// that went wrong, and the client was told.
func (s *session) measure() bool {
	if s.utf8 || s.downgraded != nil {
		return true
	}
	sizes := map[int]int64{}
	var failed error
	i := -1
	err := s.box.Summaries(s.srv.ctx, message.KeptTraits, s.entries(), func(e mailbox.Entry, sum *message.Summary) bool {
		for i++; s.snap.At(i).UID != e.UID; i++ { // this one is gone
		}
		if sum.UTF8Header {
			sizes[i], failed = s.sizeShown(e)
		}
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		s.failed("measure messages", err)
		return false
	}
	s.downgraded = sizes
	return true
}

func (s *session) entries() iter.Seq[mailbox.Entry] {
	return func(yield func(mailbox.Entry) bool) {
		for _, e := range s.snap.Range(0, s.snap.Len()) {
			if !yield(*e) {
				return
			}
		}
	}
}

// sizeShown is how long a message is as this client may see it; of one that
// another session removed, or that is damaged, what it was.
func (s *session) sizeShown(e mailbox.Entry) (octets int64, err error) {
	body, err := s.box.Body(s.srv.ctx, e)
	if err == nil {
		defer body.Close()
		_, octets, err = s.shown(body)
	}
	if errors.Is(err, mailbox.ErrGone) || errors.Is(err, mailbox.ErrDamaged) {
		return int64(e.Size), nil
	}
	return octets, err
}
