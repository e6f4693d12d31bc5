package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Findings is what a verification looked at and found.
type Findings struct {
	Accounts int
	Bodies   int
	Queued   int
	Problems int
}

// Verify checks every reference and every checksum of the house and reports
// each problem in one line. The error is for a check that could not go on.
func (o *Offline) Verify(ctx context.Context, report func(problem string)) (Findings, error) {
	v := &verifier{Offline: o, holders: make(map[blob.Ref]int)}
	v.report = func(problem string) {
		v.found.Problems++
		report(problem)
	}
	err := errors.Join(v.rows(ctx), v.references(ctx))
	if err == nil {
		err = v.counts(ctx)
	}
	if err == nil {
		err = v.bodies(ctx)
	}
	return v.found, advise(err)
}

type verifier struct {
	*Offline
	found   Findings
	holders map[blob.Ref]int // how many references each body should have
	report  func(string)
}

// rows lets each part of the house check its own rows.
func (v *verifier) rows(ctx context.Context) error {
	err := v.ground.mailboxes.Verify(ctx, v.report)
	return errors.Join(err, v.queue.Verify(ctx, v.report))
}

// references counts who refers to which body.
func (v *verifier) references(ctx context.Context) error {
	hold := func(ref blob.Ref, n int) error {
		v.holders[ref] += n
		return ctx.Err()
	}
	g := v.ground
	err := g.mailboxes.Accounts(ctx, func(id.Account) bool {
		v.found.Accounts++
		return true
	})
	return errors.Join(err,
		g.mailboxes.Refs(ctx, hold),
		v.queue.Refs(ctx, func(_ id.ID, ref blob.Ref) error {
			v.found.Queued++
			return hold(ref, 1)
		}),
		g.directory.Refs(ctx, hold))
}

// counts compares the references with their counts.
func (v *verifier) counts(ctx context.Context) error {
	counted := make(map[blob.Ref]bool, len(v.holders))
	err := v.ground.db.View(ctx, func(r kv.Reader) error {
		return refs.Scan(r, func(ref blob.Ref, count int) bool {
			counted[ref] = true
			if held := v.holders[ref]; held != count {
				v.report(fmt.Sprintf("body %s: counted %d references, found %d", ref, count, held))
			}
			return ctx.Err() == nil
		})
	})
	for ref, n := range v.holders {
		if !counted[ref] {
			v.report(fmt.Sprintf("body %s: %d references, none counted", ref, n))
		}
	}
	return err
}

// bodies reads every body that is referred to and compares its checksum, and looks
// at the heads of the segments.
func (v *verifier) bodies(ctx context.Context) error {
	bad := make(map[blob.Ref]error)
	for ref := range v.holders {
		v.found.Bodies++
		err := v.ground.bodies.Verify(ctx, ref)
		switch {
		case errors.Is(err, blob.ErrCorrupt), errors.Is(err, blob.ErrNotFound):
			bad[ref] = err
		case err != nil:
			return err
		}
	}
	whose, err := v.whose(ctx, bad)
	for _, ref := range slices.SortedFunc(maps.Keys(bad), byPlace) {
		v.report(fmt.Sprintf("body %s: %v: %s", ref, bad[ref], whose[ref]))
	}
	return errors.Join(err, v.ground.bodies.VerifyHeads(ctx, func(num uint32, err error) {
		v.report(fmt.Sprintf("segment %08x: %v", num, err))
	}))
}

func byPlace(a, b blob.Ref) int {
	return cmp.Or(cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Offset, b.Offset))
}
