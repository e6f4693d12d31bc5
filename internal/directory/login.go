package directory

import (
	"context"
	"crypto"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"posthouse/internal/listen"
	"posthouse/internal/smtp"
)

// logins is everything about logging in.
type logins struct {
	d               *dirImpl
	scramIterations int
	total           int64 // bytes that hashing may use
	memory          *semaphore.Weighted
	giveBack        *giveBack
	cache           *credentials
	addresses       *throttle[netip.Prefix]
	accounts        *throttle[string]
	dummy           passwordHash // for users that do not exist
	salt            []byte       // makes the salts of users that do not exist

	mu      sync.Mutex
	flights map[credentialKey]*flight
}

// flight is a verification that several logins with the same words wait for.
type flight struct {
	done  chan struct{}
	right bool
	err   error
}

func newLogins(d *dirImpl) *logins {
	// More hashes at a time than there are processors would take memory for
	// nothing.
	total := min(d.opt.HashMemory, int64(runtime.GOMAXPROCS(0))*newParams.bytes())
	return &logins{
		d: d, salt: d.ledger.Salt, scramIterations: d.opt.ScramIterations,
		total: total, memory: semaphore.NewWeighted(total), giveBack: newGiveBack(),
		cache:     newCredentials(d.opt.CacheFor),
		addresses: newThrottle[netip.Prefix](addressLimit),
		accounts:  newThrottle[string](accountLimit),
		// Nothing hashes to 32 zero bytes that anybody knows of.
		dummy:   passwordHash{hashParams: newParams, salt: make([]byte, 16), sum: make([]byte, 32)},
		flights: make(map[credentialKey]*flight),
	}
}

// share is the part of the memory that a hash takes; never more than there is.
func (l *logins) share(p hashParams) int64 { return min(p.bytes(), l.total) }

// attempt is an Attempt with its names in the form that they are counted under.
type attempt struct {
	name    string // address key of the login; what was typed when it is no address
	network netip.Prefix
	trusted bool
	entry   *accountEntry // nil for an unknown login
}

// maxLogin bounds a login name, in bytes; longer ones are all the same to us.
const maxLogin = 400

func (l *logins) attempt(a Attempt) attempt {
	trusted := l.d.opt.Trusted
	at := attempt{network: listen.Household(a.Remote), trusted: !a.Remote.IsValid() || trusted != nil && trusted(a.Remote)}
	if len(a.Login) > maxLogin {
		return at
	}
	at.name = a.Login
	if addr, err := smtp.ParseAddress(a.Login); err == nil {
		at.name = addr.Key()
		at.entry, _ = l.d.ix.account(addr)
	}
	return at
}

// refused reports whether the limits of the address or of the account are
// reached; otherwise wait is how long the answer has to take.
func (l *logins) refused(at attempt) (wait time.Duration, refused bool) {
	if at.trusted {
		return 0, false
	}
	now := l.d.clock.Now()
	one, no1 := l.addresses.look(at.network, now)
	if at.name == "" { // a token may come without
		return one, no1
	}
	two, no2 := l.accounts.look(at.name, now)
	return max(one, two), no1 || no2
}

func (l *logins) failed(at attempt) {
	if at.trusted {
		return
	}
	now := l.d.clock.Now()
	l.addresses.failed(at.network, now)
	if at.name != "" {
		l.accounts.failed(at.name, now)
	}
}

// slow waits as the failures so far demand; ErrThrottled beyond the limit.
func (l *logins) slow(ctx context.Context, at attempt) error {
	wait, refused := l.refused(at)
	if refused {
		return ErrThrottled
	}
	if wait <= 0 {
		return nil
	}
	t := l.d.clock.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Authenticate checks a password. An unknown user costs and answers the same
// as a wrong password: ErrBadLogin. After failures from an address or for an
// account answers slow down, then ErrThrottled.
func (d *Directory) Authenticate(ctx context.Context, a Attempt, password string) (Account, error) {
	l := d.impl.login
	at := l.attempt(a)
	prepared, ok := preparePassword(password)
	if !ok {
		prepared = "" // the hash of nothing: it costs the same and is never right
	}
	key := l.cache.key(at.name, prepared)
	if at.entry != nil && ok && l.cache.right(key, at.entry, d.impl.clock.Now()) {
		// The address's limit holds here too, or a guess that fails at once
		// and one that does not would tell who is right.
		if _, refused := l.addresses.look(at.network, d.impl.clock.Now()); refused && !at.trusted {
			return Account{}, ErrThrottled
		}
		return at.entry.account, nil
	}
	if err := l.slow(ctx, at); err != nil {
		return Account{}, err
	}
	right, err := l.verifyOnce(ctx, key, at, prepared)
	if err != nil {
		return Account{}, err
	}
	if _, refused := l.refused(at); refused { // many guesses at one time
		return Account{}, ErrThrottled
	}
	if !right || !ok {
		l.failed(at)
		return Account{}, ErrBadLogin
	}
	l.cache.remember(key, at.entry, d.impl.clock.Now())
	return at.entry.account, nil
}

// verifyOnce lets logins with the same words at one time share the work.
func (l *logins) verifyOnce(ctx context.Context, key credentialKey, at attempt, password string) (bool, error) {
	for {
		l.mu.Lock()
		f, under := l.flights[key]
		if !under {
			f = &flight{done: make(chan struct{})}
			l.flights[key] = f
		}
		l.mu.Unlock()
		if !under {
			f.right, f.err = l.verify(ctx, at, password)
			l.mu.Lock()
			delete(l.flights, key)
			l.mu.Unlock()
			close(f.done)
			return f.right, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		// The other one's patience is not ours.
		if !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.right, f.err
		}
	}
}

// verify hashes, with the account's hash or with the dummy, and renews what an
// older release has kept of the password.
func (l *logins) verify(ctx context.Context, at attempt, password string) (bool, error) {
	form, err := l.form(ctx, at.entry)
	if err != nil {
		return false, err
	}
	hash := l.dummy
	if form.Hash != "" {
		if hash, err = parseHash(form.Hash); err != nil {
			return false, err
		}
	}
	share := l.share(hash.hashParams)
	if err := l.memory.Acquire(ctx, share); err != nil {
		return false, err
	}
	right := hash.verify(password)
	l.memory.Release(share)
	l.giveBack.hashed()
	right = right && form.Hash != ""
	if right {
		l.renew(ctx, at.entry, form.secretForm, hash.hashParams, password)
	}
	return right, nil
}

// form reads an account's row; a zero form for an unknown login.
func (l *logins) form(ctx context.Context, e *accountEntry) (form accountForm, err error) {
	if e == nil {
		e = &accountEntry{} // no account has the number 0: the look-up is the same
	}
	err = l.d.read(ctx, accountRow(e.account.ID), &form)
	if errors.Is(err, ErrNotFound) {
		return accountForm{}, nil
	}
	return form, err
}

// errChanged means that the password is not the one that was verified any more.
var errChanged = errors.New("directory: password changed meanwhile")

// renew stores a hash with today's parameters, and SCRAM secrets that are missing.
// It may fail: what there was is good.
func (l *logins) renew(ctx context.Context, e *accountEntry, stored secretForm, params hashParams, password string) {
	fresh, err := stored, error(nil)
	switch {
	case params != newParams:
		fresh, err = l.newSecrets(ctx, password)
	case stored.Scram == nil || stored.ScramSHA1 == nil:
		err = l.addScram(&fresh, password)
	default:
		return
	}
	if err != nil {
		return
	}
	_ = l.d.changeAccount(ctx, e.account.Address, false, func(f *accountForm) error {
		if f.Hash != stored.Hash {
			return errChanged
		}
		f.secretForm = fresh
		return nil
	})
}

// Scram begins a SCRAM exchange: the account's secret for a hash (crypto.SHA1 or
// crypto.SHA256), or for a login without one a made-up secret that is always the
// same for that login. ErrThrottled. The outcome goes to Finish.
func (d *Directory) Scram(ctx context.Context, a Attempt, hash crypto.Hash) (ScramSecret, error) {
	l := d.impl.login
	at := l.attempt(a)
	if err := l.slow(ctx, at); err != nil {
		return ScramSecret{}, err
	}
	form, err := l.form(ctx, at.entry)
	if err != nil {
		return ScramSecret{}, err
	}
	if secret := form.scram(hash); secret != nil {
		return ScramSecret(*secret), nil
	}
	// The salt must be the same at every attempt, as an account's is; the keys
	// are shown to nobody.
	salt := "salt"
	if hash != crypto.SHA256 {
		salt += hash.String()
	}
	return ScramSecret{
		Salt: mac(l.salt, salt, at.name)[:16], Iterations: l.scramIterations,
		StoredKey: mac(l.cache.secret, "stored", at.name)[:hash.Size()],
		ServerKey: mac(l.cache.secret, "server", at.name)[:hash.Size()],
	}, nil
}

// Begin begins a login that is judged elsewhere, by a certificate or a token: it
// waits as the failures so far demand. ErrThrottled. The outcome goes to Finish.
func (d *Directory) Begin(ctx context.Context, a Attempt) error {
	l := d.impl.login
	return l.slow(ctx, l.attempt(a))
}

// Finish records the outcome of a login that Scram or Begin began, and on success
// gives the account; ErrBadLogin when there is none.
func (d *Directory) Finish(ctx context.Context, a Attempt, ok bool) (Account, error) {
	l := d.impl.login
	at := l.attempt(a)
	if _, refused := l.refused(at); refused { // many exchanges at one time
		return Account{}, ErrThrottled
	}
	if !ok || at.entry == nil {
		l.failed(at)
		return Account{}, ErrBadLogin
	}
	return at.entry.account, nil
}
