package server

import (
	"context"
	"net/netip"

	"posthouse/internal/envelope"
	"posthouse/internal/greylist"
	"posthouse/internal/id"
	"posthouse/internal/intake"
	"posthouse/internal/mailbox"
	"posthouse/internal/oidc"
	"posthouse/internal/sasl"
	"posthouse/internal/smtpd"
	"posthouse/internal/space"
)

// entrance is what the doors see of the house.
type entrance struct {
	ground   *ground
	intake   *intake.Intake
	tokens   *oidc.Verifier
	metrics  *metrics
	greylist *greylist.List // nil when no domain is protected
	trusted  func(netip.Addr) bool
}

// Authenticator is for every door.
func (e *entrance) Authenticator(remote netip.Addr, door string) sasl.Authenticator {
	return authenticator{directory: e.ground.directory, tokens: e.tokens, metrics: e.metrics, remote: remote, door: door}
}

// Account is for imapd and pop3d.
func (e *entrance) Account(ctx context.Context, acct id.Account) (*mailbox.Account, error) {
	return e.ground.mailboxes.Account(ctx, acct)
}

// NewIncoming is for imapd.
func (e *entrance) NewIncoming(ctx context.Context, size int64) (*mailbox.Incoming, error) {
	if err := e.ground.space.Fits(space.Mail, size); err != nil {
		return nil, err
	}
	return e.ground.mailboxes.NewIncoming(ctx)
}

// smtpHandler is the intake as smtpd sees it.
type smtpHandler struct{ *entrance }

var _ smtpd.Handler = smtpHandler{}

// Mail is smtpd.Handler.
func (h smtpHandler) Mail(ctx context.Context, env *envelope.Envelope, size int64) error {
	env.Size = size
	return h.intake.Mail(ctx, env)
}

// Rcpt is smtpd.Handler.
func (h smtpHandler) Rcpt(ctx context.Context, env *envelope.Envelope, r envelope.Rcpt) error {
	if err := h.intake.Rcpt(ctx, env, r); err != nil || env.From.IsZero() {
		return err
	}
	return h.greylisted(ctx, env, r)
}

// Data is smtpd.Handler. Only here are those with a null reverse-path told to
// come again: many are servers that ask whether a sender of theirs exists, and
// who are refused at RCPT take it for the answer.
func (h smtpHandler) Data(ctx context.Context, env *envelope.Envelope) (smtpd.Transfer, error) {
	if env.From.IsZero() {
		if err := h.greylisted(ctx, env, env.Rcpts...); err != nil {
			return nil, err
		}
	}
	t, err := h.intake.Begin(ctx, env)
	if err != nil {
		return nil, err
	}
	return &smtpTransfer{Transfer: t, env: env}, nil
}

// smtpTransfer is an intake.Transfer as smtpd sees it.
type smtpTransfer struct {
	*intake.Transfer
	env *envelope.Envelope
}

// Commit is smtpd.Transfer. LMTP answers for each recipient; SMTP answers once,
// so that a report tells of those who were refused late.
func (t *smtpTransfer) Commit(ctx context.Context) (smtpd.Outcome, error) {
	lmtp := t.env.Origin.Door == "lmtp"
	errs, err := t.Transfer.Commit(ctx, !lmtp)
	return smtpd.Outcome{ID: t.env.ID, Rcpts: errs}, err
}
