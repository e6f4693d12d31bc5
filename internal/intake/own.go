package intake

import (
	"context"
	"io"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
)

// Post takes a message that the house itself writes, from one of its addresses to
// one recipient anywhere. Nobody is told what becomes of it.
func (in *Intake) Post(ctx context.Context, from, to smtp.Address, message io.WriterTo) error {
	env := &envelope.Envelope{
		From: from, Rcpts: []envelope.Rcpt{{To: to, Notify: "NEVER"}}, Origin: envelope.Origin{Door: internalDoor},
		Stream: envelope.Transactional,
	}
	t, err := in.Begin(ctx, env)
	if err != nil {
		return err
	}
	if _, err := message.WriteTo(t); err != nil {
		t.Abort()
		return err
	}
	errs, err := t.Commit(ctx, false)
	if err != nil {
		return err
	}
	return errs[0]
}
