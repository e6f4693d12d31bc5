package directory

import (
	"crypto/rand"
	"sync"
	"time"

	"posthouse/internal/id"
)

const (
	defaultCacheFor = 5 * time.Minute
	maxCached       = 1 << 16
)

// credentialKey stands for a login and a password without telling them.
type credentialKey [32]byte

// credentials remembers passwords that were found right. It keeps neither
// passwords nor anything that outlives the process.
type credentials struct {
	secret   []byte
	lifetime time.Duration

	mu    sync.Mutex
	known map[credentialKey]credential
}

type credential struct {
	account id.Account
	epoch   uint64
	until   time.Time
}

func newCredentials(lifetime time.Duration) *credentials {
	c := &credentials{secret: make([]byte, 32), lifetime: lifetime, known: make(map[credentialKey]credential)}
	rand.Read(c.secret) // never fails (crypto/rand)
	return c
}

func (c *credentials) key(login, password string) credentialKey {
	return credentialKey(mac(c.secret, login, password))
}

// right reports whether key was verified for e under its present password.
func (c *credentials) right(key credentialKey, e *accountEntry, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.known[key]
	if !ok {
		return false
	}
	if k.account != e.account.ID || k.epoch != e.epoch || now.After(k.until) {
		delete(c.known, key)
		return false
	}
	return true
}

func (c *credentials) remember(key credentialKey, e *accountEntry, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxCached {
		c.makeRoom(now)
	}
	c.known[key] = credential{e.account.ID, e.epoch, now.Add(c.lifetime)}
}

// makeRoom drops what is over, and if that is little an eighth of the rest, by
// the map's own random order.
func (c *credentials) makeRoom(now time.Time) {
	for key, k := range c.known {
		if now.After(k.until) {
			delete(c.known, key)
		}
	}
	for key := range c.known {
		if len(c.known) <= maxCached*7/8 {
			return
		}
		delete(c.known, key)
	}
}

// forget drops everything that is known of an account.
func (c *credentials) forget(acct id.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, k := range c.known {
		if k.account == acct {
			delete(c.known, key)
		}
	}
}
