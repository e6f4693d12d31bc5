// Package suppress is the list of addresses that take no mail: a remote server
// said for good that there is no such mailbox. It is a fact for those who send
// to many, not a rule for letters from one person to another: these are tried
// whatever the list says.
package suppress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
)

// Rows: address key -> Suppression as JSON.
const rowAddress = 'a'

// Keep is how long an address stays on the list when nothing refreshes it:
// people come back, and mailboxes with them.
const Keep = 180 * 24 * time.Hour

// Partition is where the list is; name it in the Update around AddTx.
const Partition = kv.Suppressions

// ErrNotFound is the answer for an address that is not on the list.
var ErrNotFound = errors.New("suppress: the address is not on the list")

// Suppression is one address with the reason.
type Suppression struct {
	Address string         `json:"address"`
	At      time.Time      `json:"at"` // of the last refusal
	Class   classify.Class `json:"class"`
	Rule    string         `json:"rule,omitempty"`
	Code    int            `json:"code,omitempty"`
	Text    string         `json:"text,omitempty"` // the remote's own words, one line
	Host    string         `json:"host,omitempty"`
	Message id.ID          `json:"message,omitempty"` // that was refused last
}

func rowKey(a smtp.Address) kv.Key {
	return kv.NewKey(Partition).Byte(rowAddress).String(a.Key())
}

// AddTx puts an address on the list as part of the caller's transaction, which
// must cover Partition. What was known of it before is replaced.
func AddTx(tx kv.Tx, a smtp.Address, e Suppression) error {
	e.Address = a.String()
	value, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	return tx.Set(rowKey(a), value)
}

// Get tells why an address is on the list; ErrNotFound when it is not.
func Get(ctx context.Context, db kv.Store, a smtp.Address) (Suppression, error) {
	var e Suppression
	err := db.View(ctx, func(r kv.Reader) error {
		value, err := r.Get(rowKey(a))
		if errors.Is(err, kv.ErrNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(value, &e)
	})
	return e, err
}

// List gives up to limit entries in the order of their addresses, those after
// the given one; "" is from the start.
func List(ctx context.Context, db kv.Store, after string, limit int) ([]Suppression, error) {
	prefix := kv.NewKey(Partition).Byte(rowAddress)
	from := []byte(prefix)
	if after != "" {
		a, err := smtp.ParseAddress(after)
		if err != nil {
			return nil, err
		}
		from = append(rowKey(a), 0)
	}
	var list []Suppression
	err := db.View(ctx, func(r kv.Reader) error {
		list = nil
		var bad error
		err := r.Scan(from, prefix.End(), func(_, value []byte) bool {
			if len(list) == limit {
				return false
			}
			var e Suppression
			if bad = json.Unmarshal(value, &e); bad != nil {
				return false
			}
			list = append(list, e)
			return true
		})
		return errors.Join(err, bad)
	})
	return list, err
}

// Remove takes an address off the list; ErrNotFound when it is not there.
func Remove(ctx context.Context, db kv.Store, a smtp.Address) error {
	return db.Update(ctx, kv.Partitions{Partition}, func(tx kv.Tx) error {
		_, err := tx.Get(rowKey(a))
		if errors.Is(err, kv.ErrNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return tx.Delete(rowKey(a))
	})
}

// expireBatch is how many entries one transaction looks at.
const expireBatch = 1000

// Expire removes entries from before t.
func Expire(ctx context.Context, db kv.Store, t time.Time) error {
	after := ""
	for {
		list, err := List(ctx, db, after, expireBatch)
		if err != nil {
			return fmt.Errorf("suppress: expire: %w", err)
		}
		for _, e := range list {
			after = e.Address
			a, err := smtp.ParseAddress(e.Address)
			if err != nil || !e.At.Before(t) {
				continue
			}
			if err := Remove(ctx, db, a); err != nil && !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("suppress: expire: %w", err)
			}
		}
		if len(list) < expireBatch {
			return nil
		}
	}
}
