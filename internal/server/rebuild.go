package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"posthouse/internal/blob/segment"
	"posthouse/internal/config"
	"posthouse/internal/directory"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/message"
	"posthouse/internal/queue"
	"posthouse/internal/record"
)

// newIndex is where a rebuilt index grows until it is complete.
const newIndex = "index.new"

// Rebuilt is what Rebuild made.
type Rebuilt struct {
	Accounts int
	Messages int
	Queued   int // recipients, on hold
	Damaged  int // records
	Doubts   int // lines about what is lost or uncertain
	OldIndex string
}

// Rebuild makes the index again from the bodies: the directory, every message in
// the mailbox it arrived in, every recipient elsewhere on hold. What only the
// index knew is lost: flags changed and messages moved since they arrived; but the
// directory is taken from the old index as well. Mail of an account whose record is
// lost goes to one that is made again for it. The old index is kept beside the new
// one. A rebuild that breaks off changes nothing.
func Rebuild(ctx context.Context, cfg *config.Config, log *slog.Logger, say func(string)) (Rebuilt, error) {
	if !hasBodies(cfg.Data) {
		return Rebuilt{}, fmt.Errorf("%s: %w", cfg.Data, ErrNoStore)
	}
	mine, err := claim(cfg.Data)
	if err != nil {
		return Rebuilt{}, ExplainLock(cfg.Data, fmt.Errorf("%s: %w", cfg.Data, err))
	}
	defer mine.Close()
	old, err := oldDirectory(ctx, cfg, say)
	if err != nil {
		return Rebuilt{}, err
	}
	fresh := filepath.Join(cfg.Data, newIndex)
	if err := os.RemoveAll(fresh); err != nil {
		return Rebuilt{}, err
	}
	g, err := openGround(ctx, cfg, log, groundOptions{create: true, index: newIndex, rebuild: true})
	if err != nil {
		return Rebuilt{}, err
	}
	b := &rebuilder{ground: g, say: say, old: old, accounts: make(map[id.Account]bool), holders: make(map[id.Account]string), filed: make(map[id.Account]int)}
	err = b.run(ctx)
	if err := errors.Join(err, g.close()); err != nil {
		return b.made, err
	}
	b.made.OldIndex, err = swapIndex(cfg.Data)
	return b.made, err
}

// swapIndex puts the new index in the old one's place.
func swapIndex(data string) (old string, err error) {
	index := filepath.Join(data, indexDir)
	name := index + ".old-" + time.Now().UTC().Format("20060102T150405")
	old = name
	for n := 2; exists(old); n++ { // more than one in a second
		old = fmt.Sprintf("%s-%d", name, n)
	}
	if err := os.Rename(index, old); errors.Is(err, os.ErrNotExist) {
		old = "(there was none)"
	} else if err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(data, newIndex), index); err != nil {
		return "", err
	}
	d, err := os.Open(data)
	if err != nil {
		return "", err
	}
	return old, errors.Join(d.Sync(), d.Close())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

type rebuilder struct {
	*ground
	queue    *queue.Queue
	say      func(string)
	made     Rebuilt
	old      []directory.Object    // of the old index
	accounts map[id.Account]bool   // in the directory
	holders  map[id.Account]string // address, of all that messages were filed for
	filed    map[id.Account]int    // messages
}

// doubt says what is lost or uncertain.
func (b *rebuilder) doubt(format string, args ...any) {
	b.made.Doubts++
	b.say(fmt.Sprintf(format, args...))
}

func (b *rebuilder) run(ctx context.Context) error {
	b.queue = queue.New(queue.Options{
		DB: b.db, Bodies: b.ground.bodies, Counts: b.counts, Journal: b.journal, Clock: b.clock, Log: b.log, Hostname: b.cfg.Hostname,
	})
	if n, err := b.ground.bodies.RepairForwards(ctx); err != nil {
		return err
	} else if n > 0 {
		b.say(fmt.Sprintf("%d forwarding tables were lost, and made again", n))
	}
	if err := b.restoreDirectory(ctx); err != nil {
		return err
	}
	missing, err := b.recoverAccounts(ctx)
	if err != nil {
		return err
	}
	err = b.ground.bodies.Records(ctx, func(r segment.Record) error {
		if r.Err != nil {
			return b.damaged(ctx, r)
		}
		meta, err := record.Decode(r.Meta)
		if err != nil {
			b.made.Damaged++
			b.doubt("%s: %v", r.Ref, err)
			return nil
		}
		if meta.Kind == record.Directory {
			return nil
		}
		return b.refile(ctx, r, meta)
	})
	if err == nil {
		b.tellMissing(missing)
	}
	return err
}

// damaged tells of a damaged record. A message whose meta is good is filed as it is, for
// most of it may be there; but it is not sent.
func (b *rebuilder) damaged(ctx context.Context, r segment.Record) error {
	b.made.Damaged++
	b.doubt("segment %08x, %d to %d: %v%s", r.Segment, r.From, r.To, r.Err, whose(r.Meta))
	meta, err := record.Decode(r.Meta)
	if r.Body == nil || err != nil || meta.Kind == record.Directory {
		return nil
	}
	meta.Queued = nil
	return b.refile(ctx, r, meta)
}

// refile puts one message where it arrived.
func (b *rebuilder) refile(ctx context.Context, r segment.Record, meta *record.Meta) error {
	parser := message.NewParser(message.Options{})
	if _, err := io.Copy(parser, r.Body); err != nil {
		return err
	}
	sum := parser.Finish()
	for _, l := range meta.Local {
		b.filed[id.Account(l.Account)]++
		if !b.accounts[id.Account(l.Account)] {
			continue // it was removed: tellMissing
		}
		if err := b.mailboxes.Refile(ctx, id.Account(l.Account), l.Mailbox, r.Ref, sum, meta.Flags, meta.Date); err != nil {
			return fmt.Errorf("%s: %w", r.Ref, err)
		}
		b.made.Messages++
	}
	if len(meta.Queued) == 0 {
		return nil
	}
	m := b.queued(r, meta, sum)
	b.made.Queued += len(m.Rcpts)
	return b.queue.Refile(ctx, m)
}

// queued is a queue message as the intake made it.
func (b *rebuilder) queued(r segment.Record, meta *record.Meta, sum *message.Summary) *queue.Message {
	m := &queue.Message{
		Envelope: meta.Envelope, Body: r.Ref, Skip: int64(meta.Skip), Size: sum.Size - int64(meta.Skip),
		EightBit: sum.EightBit, UTF8: sum.UTF8Header, BareLines: sum.BareLines || sum.NUL,
		MessageID: sum.ID(),
	}
	for _, q := range meta.Queued {
		rcpt := queue.Rcpt{Prepend: q.Prepend, Rcpt: envelope.Rcpt{
			Notify: q.Notify, ORcpt: q.ORcpt, RRVS: q.RRVS, RRVSContinue: q.RRVSContinue,
		}}
		if err := rcpt.To.UnmarshalText([]byte(q.To)); err != nil {
			b.doubt("%s: recipient %q: %v", r.Ref, q.To, err)
			continue
		}
		m.Rcpts = append(m.Rcpts, rcpt)
	}
	return m
}
