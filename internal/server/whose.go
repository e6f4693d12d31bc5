package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"posthouse/internal/blob"
	"posthouse/internal/directory"
	"posthouse/internal/id"
	"posthouse/internal/mailbox"
)

// maxNamed bounds how many holders of one body are named.
const maxNamed = 10

// whose tells, for people, who has which of the damaged bodies.
func (v *verifier) whose(ctx context.Context, bad map[blob.Ref]error) (map[blob.Ref]string, error) {
	if len(bad) == 0 {
		return nil, nil
	}
	want := make(map[blob.Ref]bool, len(bad))
	for ref := range bad {
		want[ref] = true
	}
	names := make(map[blob.Ref][]string)
	add := func(ref blob.Ref, name string) {
		if want[ref] {
			names[ref] = append(names[ref], name)
		}
	}
	g := v.ground
	objects, _, err := directory.Stored(ctx, g.db)
	for _, o := range objects {
		add(o.Ref, "the directory's copy of "+o.Name)
	}
	err = errors.Join(err,
		g.mailboxes.Holders(ctx, want, func(ref blob.Ref, h mailbox.Holder) error {
			add(ref, v.holderText(ctx, h))
			return ctx.Err()
		}),
		v.queue.Refs(ctx, func(msg id.ID, ref blob.Ref) error {
			add(ref, fmt.Sprintf("message %s in the queue", msg))
			return ctx.Err()
		}))
	text := make(map[blob.Ref]string, len(bad))
	for ref, list := range names {
		if more := len(list) - maxNamed; more > 0 {
			list = append(list[:maxNamed], fmt.Sprintf("and %d more", more))
		}
		text[ref] = strings.Join(list, "; ")
	}
	return text, err
}

// holderText names one message: account, mailbox, UID, Message-ID.
func (v *verifier) holderText(ctx context.Context, h mailbox.Holder) string {
	who := fmt.Sprintf("account %d", h.Account)
	if a, err := v.ground.directory.AccountByID(ctx, h.Account); err == nil {
		who = a.Address.String()
	}
	text := fmt.Sprintf("%s, %q, UID %d", who, h.Mailbox, h.UID)
	if h.Mailbox == "" {
		text = who + ", an expunged message"
	}
	if h.MessageID != "" {
		text += fmt.Sprintf(", Message-ID %q", h.MessageID)
	}
	return text
}
