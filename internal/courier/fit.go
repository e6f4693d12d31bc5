package courier

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"posthouse/internal/blob"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// fitContent makes lines of binary content for a server that takes nothing else
// (RFC 3030 section 3). It reports whether anything is left to do.
func (x *transaction) fitContent() bool {
	t := x.t
	if !t.Binary || x.s.ext.Has("BINARYMIME") && x.s.chunking() {
		return true
	}
	if t.plain == nil && t.plainErr == nil {
		t.plain, t.plainErr = message.NewUnbinary(io.NewSectionReader(t.Body, t.Skip, t.Size), t.Size)
	}
	x.plain = t.plain
	switch {
	case t.plainErr == nil:
		return true
	case errors.Is(t.plainErr, message.ErrUnbinary):
		x.decideAll(x.s.outcome(554, status.Enhanced{Class: 5, Subject: 6, Detail: 3},
			"The message has binary parts, which the server does not take and which cannot be converted"))
	default:
		x.decideAll(x.ours(status.Internal(t.plainErr)))
	}
	return false
}

// content is what is sent to this server, as a stream.
func (x *transaction) content() io.Reader {
	var body io.Reader = io.NewSectionReader(x.t.Body, x.t.Skip, x.t.Size)
	if x.plain != nil {
		body = x.plain.Reader()
	}
	if x.lead == "" {
		return body
	}
	return io.MultiReader(strings.NewReader(x.lead), body)
}

// total is the number of bytes in content.
func (x *transaction) total() int64 {
	if x.plain != nil {
		return int64(len(x.lead)) + x.plain.Size()
	}
	return int64(len(x.lead)) + x.t.Size
}

// eightBit reports whether content has bytes above 127.
func (x *transaction) eightBit() bool {
	if x.plain != nil {
		return x.plain.EightBit
	}
	return x.t.EightBit
}

// fit decides what this server cannot take at all, and reports whether anything
// is left to do.
func (x *transaction) fit() bool {
	ext, t := x.s.ext, x.t
	if limit := ext.Size(); limit > 0 && x.total() > limit { // RFC 1870 section 6
		x.decideAll(x.s.outcome(552, status.Enhanced{Class: 5, Subject: 3, Detail: 4},
			fmt.Sprintf("Message of %d bytes is larger than the %d bytes the server takes", x.total(), limit)))
		return false
	}
	has := ext.Has("SMTPUTF8")
	// What the sender said of the message does not count, but what it needs.
	x.utf8 = t.UTF8 || !pathIsASCII(t.From) || !isASCII(t.Prepend)
	if x.utf8 && !has { // RFC 6531 section 3.5
		x.decideAll(x.s.outcome(550, status.Enhanced{Class: 5, Subject: 6, Detail: 7},
			"The message has internationalised addresses or header, which the server does not take"))
		return false
	}
	left := x.rcpts[:0:0]
	for _, i := range x.rcpts {
		if pathIsASCII(t.Rcpts[i].To) {
			left = append(left, i)
			continue
		}
		if !has {
			x.decide(i, x.s.outcome(553, status.Enhanced{Class: 5, Subject: 6, Detail: 7},
				"The address is internationalised, which the server does not take"))
			continue
		}
		x.utf8 = true
		left = append(left, i)
	}
	x.rcpts = left
	// A body with 8-bit bytes goes as it is to a server without 8BITMIME, as all
	// widespread servers do it: RFC 6152 section 3 would have it converted, which
	// breaks signatures, or refused, which helps nobody.
	return true
}

// prepare chooses how to send the content, and refuses what could be read as two
// messages.
func (x *transaction) prepare() error {
	var err error
	if x.chunked, err = x.wantsBDAT(); err != nil {
		return status.Internal(err)
	}
	if x.t.BareLines && x.plain == nil && !x.chunked {
		bad, err := smuggles(x.content())
		if err != nil {
			return status.Internal(err)
		}
		if bad {
			return status.New(550, 6, 0, "The message has a line of one dot between bare line ends, which would end it for some servers")
		}
	}
	return x.sound()
}

// sound is nil unless the store has found, when all of the content had been read,
// that it is not what was accepted.
func (x *transaction) sound() error {
	err := blob.Check(x.t.Body)
	if err == nil {
		return nil
	}
	x.c.opt.Log.Error("message is damaged in the store", "msg_id", string(x.t.ID), "err", err)
	return status.New(451, 3, 0, "The message is damaged in the store")
}

// wantsBDAT reports whether the content goes by BDAT (RFC 3030 section 2): where the
// server takes it and DATA would not leave every octet as it is. DATA is the rule,
// for its 354 shows that server and client are in step.
func (x *transaction) wantsBDAT() (bool, error) {
	if !x.s.chunking() || x.plain != nil {
		return false, nil
	}
	t := x.t
	if t.Binary || t.BareLines {
		return true, nil
	}
	if t.Size == 0 {
		return false, nil
	}
	end := make([]byte, min(t.Size, 2))
	_, err := t.Body.ReadAt(end, t.Skip+t.Size-int64(len(end)))
	if err == io.EOF { // as it may say at the very end
		err = nil
	}
	return string(end) != "\r\n", err
}

// pathIsASCII reports whether an address goes over the wire without SMTPUTF8.
func pathIsASCII(a smtp.Address) bool { return a.WithALabels().IsASCII() }

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
