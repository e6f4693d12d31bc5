package imapd

import (
	"errors"

	"posthouse/internal/blob"
	"posthouse/internal/mailbox"
	"posthouse/internal/status"
)

// refusal is the text of a NO, with its response code (RFC 5530). Faults of ours
// go to the log and are not shown.
func (s *session) refusal(err error) string {
	var n *no
	var st *status.Error
	switch {
	case errors.As(err, &n):
		return n.text
	case errors.Is(err, mailbox.ErrNoMailbox), errors.Is(err, mailbox.ErrDeleted):
		return "[NONEXISTENT] There is no such mailbox"
	case errors.Is(err, mailbox.ErrExists):
		return "[ALREADYEXISTS] The mailbox exists already"
	case errors.Is(err, mailbox.ErrBadName):
		return "[CANNOT] A mailbox cannot have this name"
	case errors.Is(err, mailbox.ErrNotAllowed):
		return "[CANNOT] This mailbox does not allow that"
	case errors.Is(err, mailbox.ErrHasChildren):
		return "[HASCHILDREN] The mailbox has children"
	case errors.Is(err, mailbox.ErrOverQuota):
		return "[OVERQUOTA] The account is over its quota"
	case errors.Is(err, mailbox.ErrLongKeyword):
		return "[LIMIT] A keyword has at most 255 bytes"
	case errors.Is(err, mailbox.ErrKeywords):
		return "[LIMIT] Too many keywords in this mailbox"
	case errors.Is(err, mailbox.ErrTooBig):
		return "[TOOBIG] The message is too big"
	case errors.Is(err, mailbox.ErrGone):
		return "[EXPUNGEISSUED] Some of the messages no longer exist"
	case errors.Is(err, blob.ErrFull): // of ours, not of the account: no OVERQUOTA (RFC 5530 section 3)
		return "[UNAVAILABLE] No space left, try again later"
	case errors.As(err, &st):
		if st.Cause != nil {
			s.log().Error("command failed", "command", s.name, "err", err)
		}
		if st.Temporary() {
			return "[UNAVAILABLE] " + st.Text
		}
		return st.Text
	}
	s.log().Error("command failed", "command", s.name, "err", err)
	return "[SERVERBUG] Internal error, try again later"
}
