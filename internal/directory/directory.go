package directory

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"posthouse/internal/blob"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Directory is safe for concurrent use.
type Directory struct{ impl *dirImpl }

type dirImpl struct {
	db    kv.Store
	opt   Options
	clock clock.Clock
	ix    *index
	login *logins

	writing sync.Mutex // one change at a time
	ledger  ledgerForm // behind writing
	next    id.Account // behind writing: the number of the next account
	version uint64     // behind writing
	epoch   uint64     // behind writing
}

// Defaults of Options.
const (
	defaultHashMemory = 256 << 20
	defaultScram      = 32768
)

// Open loads the directory.
func Open(ctx context.Context, db kv.Store, opt Options) (*Directory, error) {
	if opt.Clock == nil {
		opt.Clock = clock.System{}
	}
	if opt.HashMemory <= 0 {
		opt.HashMemory = defaultHashMemory
	}
	if opt.CacheFor <= 0 {
		opt.CacheFor = defaultCacheFor
	}
	if opt.ScramIterations == 0 {
		opt.ScramIterations = defaultScram
	}
	opt.ScramIterations = max(opt.ScramIterations, minScram)
	if (opt.Bodies == nil) != (opt.Counts == nil) {
		return nil, errors.New("directory: Bodies and Counts go together")
	}
	d := &dirImpl{db: db, opt: opt, clock: opt.Clock, ix: newIndex()}
	if err := db.View(ctx, d.load); err != nil {
		return nil, err
	}
	if d.ledger.Form == 0 {
		if err := d.start(ctx); err != nil {
			return nil, err
		}
	}
	d.login = newLogins(d)
	return &Directory{d}, nil
}

// Close ends the use of the directory. It does not close the ground.
func (d *Directory) Close() error {
	d.impl.login.giveBack.close()
	return nil
}

// load reads the whole partition into the index.
func (d *dirImpl) load(r kv.Reader) error {
	var err error
	if d.version, err = readNumber(r, versionRow()); err != nil {
		return err
	}
	next, err := readNumber(r, nextRow())
	if err != nil {
		return err
	}
	d.next = max(1, id.Account(next))
	row, err := r.Get(ledgerRow())
	if err == nil {
		_, err = decodeRow(row, &d.ledger)
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if err := scanObjects(r, rowDomain, func(f *domainForm) { d.ix.setDomain(f.domain()) }); err != nil {
		return err
	}
	if err := scanObjects(r, rowAlias, func(f *aliasForm) { d.ix.setAlias(Alias{f.Address, f.Targets}) }); err != nil {
		return err
	}
	return scanObjects(r, rowAccount, func(f *accountForm) { d.ix.loadAccount(f.account()) })
}

// scanObjects decodes every object of a kind.
func scanObjects[F any](r kv.Reader, kind byte, fn func(*F)) error {
	from := kv.NewKey(kv.Directory).Byte(kind)
	var bad error
	err := r.Scan(from, from.End(), func(k, v []byte) bool {
		f := new(F)
		if _, bad = decodeRow(v, f); bad != nil {
			bad = fmt.Errorf("%w (row %x)", bad, k)
			return false
		}
		fn(f)
		return true
	})
	return errors.Join(err, bad)
}

// readNumber reads a row of 8 bytes; 0 when there is none.
func readNumber(r kv.Reader, key kv.Key) (uint64, error) {
	v, err := r.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, ok := parseUint64(v)
	if !ok {
		return 0, fmt.Errorf("directory: damaged row %x", []byte(key))
	}
	return n, nil
}

// start makes the ledger of a new directory.
func (d *dirImpl) start(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	ledger := ledgerForm{Form: rowForm, Next: d.next, Salt: make([]byte, 32)}
	rand.Read(ledger.Salt) // never fails (crypto/rand)
	c := change{}
	c.put(ledgerRow(), ledgerName, &ledger)
	if err := d.commit(ctx, &c); err != nil {
		return err
	}
	d.ledger = ledger
	return nil
}

// read loads one object; ErrNotFound.
func (d *dirImpl) read(ctx context.Context, key kv.Key, form any) error {
	err := d.db.View(ctx, func(r kv.Reader) error {
		row, err := r.Get(key)
		if err != nil {
			return err
		}
		_, err = decodeRow(row, form)
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

// refOf reads the reference of an object's present copy; zero for none.
func refOf(r kv.Reader, key kv.Key) (blob.Ref, error) {
	row, err := r.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return blob.Ref{}, nil
	}
	if err != nil {
		return blob.Ref{}, err
	}
	ref, ok := blob.ParseRef(row)
	if !ok {
		return ref, fmt.Errorf("directory: row of %d bytes", len(row))
	}
	return ref, nil
}

func encodeObject(form any) ([]byte, error) {
	object, err := json.Marshal(form)
	if err == nil && len(object) > kv.MaxValue-blob.RefSize {
		err = fmt.Errorf("%w: too large", ErrInvalid)
	}
	return object, err
}
