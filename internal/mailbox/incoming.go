package mailbox

import (
	"context"
	"io"

	"posthouse/internal/blob"
	"posthouse/internal/message"
)

// Incoming receives one message: its bytes go to the body store and through the
// MIME parser on their way. It is shared by delivery and APPEND. It is not safe
// for concurrent use.
type Incoming struct {
	w       blob.Writer
	parser  *message.Parser
	max     int64
	size    int64
	err     error // of the first Write that failed
	summary *message.Summary
	over    bool // committed or aborted
}

var _ io.Writer = (*Incoming)(nil)

// NewIncoming begins a message. It accepts at most Options.MaxMessageSize bytes,
// then Write answers ErrTooBig.
func (s *Store) NewIncoming(ctx context.Context) (*Incoming, error) {
	return s.incoming(s.bodies.Create(ctx))
}

// NewOwn is NewIncoming for a message that the house itself writes: there is room
// for it longer.
func (s *Store) NewOwn(ctx context.Context) (*Incoming, error) {
	return s.incoming(s.bodies.CreateOwn(ctx))
}

func (s *Store) incoming(w blob.Writer, err error) (*Incoming, error) {
	if err != nil {
		return nil, err
	}
	return &Incoming{w: w, parser: message.NewParser(message.Options{}), max: s.opt.MaxMessageSize}, nil
}

// Write adds bytes of the message. After an error every later Write and Commit
// answer the same one.
func (in *Incoming) Write(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	if in.size+int64(len(p)) > in.max {
		in.err = ErrTooBig
		return 0, in.err
	}
	n, err := in.w.Write(p)
	in.size += int64(n)
	in.parser.Write(p[:n])
	in.err = err
	return n, err
}

// Size is the number of bytes so far.
func (in *Incoming) Size() int64 { return in.size }

// Summary ends the message and gives what the parser found; Write must not be
// called after it.
func (in *Incoming) Summary() *message.Summary {
	if in.summary == nil {
		in.summary = in.parser.Finish()
	}
	return in.summary
}

// Commit makes the body durable with meta (see package record) and returns it.
func (in *Incoming) Commit(ctx context.Context, meta []byte) (Stored, error) {
	if in.err != nil {
		in.Abort()
		return Stored{}, in.err
	}
	sum := in.Summary()
	in.over = true
	ref, err := in.w.Commit(ctx, meta)
	if err != nil {
		return Stored{}, err
	}
	return Stored{Ref: ref, Summary: sum, row: encodeSummary(sum)}, nil
}

// Abort drops the message; it does nothing after Commit.
func (in *Incoming) Abort() {
	if !in.over {
		in.over = true
		in.w.Abort()
	}
}
