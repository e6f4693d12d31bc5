package intake

import (
	"context"
	"errors"
	"net/netip"

	"posthouse/internal/kv"
)

// also is work of somebody else that becomes durable with a message, in the
// same transaction: the queue entry that a report is about, for one.
type also struct {
	parts kv.Partitions
	tx    func(kv.Tx) error
}

// commit stores f's body and files it. extra, which may be empty, is filed in the
// last of f's transactions. A client that hangs up now changes nothing: the
// message is complete. After errRefused it may be called again, without the
// mailboxes that refused.
func (in *Intake) commit(ctx context.Context, f *filing, extra ...also) error {
	ctx = context.WithoutCancel(ctx)
	if !f.isStored() {
		if err := f.store(ctx); err != nil {
			return storeError(err)
		}
	}
	if f.references() == 0 {
		in.release(f)
		return in.runAlso(ctx, extra)
	}
	step := f.step()
	for last := false; !last; {
		from, to := f.filed, min(f.filed+step, len(f.locals))
		last = to == len(f.locals)
		parts := f.partitions(from, to)
		if last {
			for _, a := range extra {
				parts = append(parts, a.parts...)
			}
		}
		err := in.opt.DB.Update(ctx, parts, func(tx kv.Tx) error {
			if err := f.writeTx(tx, from, to); err != nil || !last {
				return err
			}
			return runTx(tx, extra)
		})
		switch {
		case errors.Is(err, errRefused):
			return err
		case err != nil:
			in.drop(f)
			return storeError(err)
		}
		f.filed = to
	}
	f.published()
	return nil
}

// drop gives up a message that is not filed, or not anywhere else.
func (in *Intake) drop(f *filing) {
	if !f.isStored() {
		f.incoming.Abort()
	} else if f.filed == 0 {
		in.release(f)
	}
}

func runTx(tx kv.Tx, extra []also) error {
	for _, a := range extra {
		if err := a.tx(tx); err != nil {
			return err
		}
	}
	return nil
}

// runAlso does the extra work alone, for a message that goes nowhere.
func (in *Intake) runAlso(ctx context.Context, extra []also) error {
	var parts kv.Partitions
	for _, a := range extra {
		parts = append(parts, a.parts...)
	}
	if len(extra) == 0 {
		return nil
	}
	return in.opt.DB.Update(ctx, parts, func(tx kv.Tx) error { return runTx(tx, extra) })
}

// release gives back a body that nothing refers to.
func (in *Intake) release(f *filing) {
	if err := in.opt.Counts.Release(f.stored.Ref); err != nil {
		in.opt.Log.Error("release of a body that was not filed", "err", err)
	}
}

// fewMailboxes is how many always fit: a summary is at most 64 KB.
const fewMailboxes = 32

// step is how many mailboxes one transaction files the message in: all, unless so
// many take it that their index entries outgrow a batch.
func (f *filing) step() int {
	if len(f.locals) <= fewMailboxes {
		return len(f.locals)
	}
	each := len(f.stored.Summary.AppendBinary(nil)) + 1024
	return max(1, maxFiling/each)
}

// addressLiteral is an address as RFC 5321 section 4.1.3 writes it.
func addressLiteral(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}
