package directory

import (
	"crypto"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
)

// Rows of the directory's partition. A row of an object is the reference to its
// copy in the log (16 bytes, zero for none) and its JSON.
const (
	rowAccount = 'a' // number → object
	rowAddress = 'i' // address key → number of the account (8 bytes)
	rowDomain  = 'd' // name → object
	rowAlias   = 'l' // address key → object
	rowLedger  = 'L' // object
	rowNext    = 'n' // number of the next account (8 bytes)
	rowVersion = 'v' // 8 bytes, one more with every change
)

// rowForm is the version of the JSON forms.
const rowForm = 1

func accountRow(n id.Account) kv.Key {
	return kv.NewKey(kv.Directory).Byte(rowAccount).Uint64(uint64(n))
}
func addressRow(key string) kv.Key { return kv.NewKey(kv.Directory).Byte(rowAddress).String(key) }
func domainRow(name string) kv.Key { return kv.NewKey(kv.Directory).Byte(rowDomain).String(name) }
func aliasRow(key string) kv.Key   { return kv.NewKey(kv.Directory).Byte(rowAlias).String(key) }
func ledgerRow() kv.Key            { return kv.NewKey(kv.Directory).Byte(rowLedger) }
func nextRow() kv.Key              { return kv.NewKey(kv.Directory).Byte(rowNext) }
func versionRow() kv.Key           { return kv.NewKey(kv.Directory).Byte(rowVersion) }

// Names of the objects in the log.
const ledgerName = "ledger"

func accountName(n id.Account) string { return "account/" + strconv.FormatUint(uint64(n), 10) }
func domainName(name string) string   { return "domain/" + name }
func aliasName(key string) string     { return "alias/" + key }

// accountForm is an account as it is stored.
type accountForm struct {
	Form    int          `json:"v"`
	ID      id.Account   `json:"id"`
	Tenant  string       `json:"tenant"`
	Address smtp.Address `json:"address"`
	Quota   int64        `json:"quota,omitempty"`
	Created time.Time    `json:"created"`
	Owner   time.Time    `json:"owner_since,omitzero"` // zero: since Created
	secretForm
}

// secretForm is what is kept of a password.
type secretForm struct {
	Hash      string     `json:"hash,omitempty"`       // argon2id, PHC
	Scram     *scramForm `json:"scram,omitempty"`      // SHA-256
	ScramSHA1 *scramForm `json:"scram_sha1,omitempty"` // accounts of older releases have none
}

// scram is the secret for a hash, nil when there is none.
func (f *secretForm) scram(hash crypto.Hash) *scramForm {
	if hash == crypto.SHA1 {
		return f.ScramSHA1
	}
	return f.Scram
}

type scramForm struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
}

type domainForm struct {
	Form    int        `json:"v"`
	Name    string     `json:"name"`
	Tenant  string     `json:"tenant"`
	Created time.Time  `json:"created"`
	DKIM    []dkimForm `json:"dkim"`
}

type dkimForm struct {
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Private   []byte `json:"private"`
}

type aliasForm struct {
	Form    int            `json:"v"`
	Address smtp.Address   `json:"address"`
	Targets []smtp.Address `json:"targets"`
}

// ledgerForm is what must outlive the objects themselves.
type ledgerForm struct {
	Form    int        `json:"v"`
	Next    id.Account `json:"next"`              // what the number of the next account was
	Salt    []byte     `json:"salt"`              // makes the salts of logins that do not exist
	Removed []removed  `json:"removed,omitempty"` // the last ones: not to be restored from old copies
}

// maxRemoved bounds ledgerForm.Removed, so that its row keeps below kv.MaxValue.
const maxRemoved = 300

type removed struct {
	Object string    `json:"object"`
	At     time.Time `json:"at"`
}

// encodeRow is the stored form of an object.
func encodeRow(ref blob.Ref, object []byte) []byte {
	return append(ref.Append(make([]byte, 0, blob.RefSize+len(object))), object...)
}

// decodeRow reads a row into form and returns the reference to its copy.
func decodeRow(row []byte, form any) (blob.Ref, error) {
	ref, ok := blob.ParseRef(row)
	if !ok {
		return ref, fmt.Errorf("directory: row of %d bytes", len(row))
	}
	return ref, decodeObject(row[blob.RefSize:], form)
}

func decodeObject(object []byte, form any) error {
	var version struct {
		Form int `json:"v"`
	}
	if err := json.Unmarshal(object, &version); err != nil {
		return fmt.Errorf("directory: damaged object: %w", err)
	}
	if version.Form != rowForm {
		return fmt.Errorf("directory: object of form %d, this release knows %d", version.Form, rowForm)
	}
	if err := json.Unmarshal(object, form); err != nil {
		return fmt.Errorf("directory: damaged object: %w", err)
	}
	return nil
}

func (f *accountForm) account() Account {
	a := Account{ID: f.ID, Tenant: f.Tenant, Address: f.Address, Quota: f.Quota, Created: f.Created, OwnerSince: f.Owner}
	if f.Owner.IsZero() {
		a.OwnerSince = f.Created
	}
	return a
}

func (f *domainForm) domain() Domain {
	d := Domain{Name: f.Name, Tenant: f.Tenant, Created: f.Created}
	for _, k := range f.DKIM {
		d.DKIM = append(d.DKIM, DKIMKey(k))
	}
	return d
}
