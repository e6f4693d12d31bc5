package directory

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	_ "crypto/sha1" // for SCRAM-SHA-1
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/crypto/argon2"
)

// maxPassword bounds a password, in bytes.
const maxPassword = 1024

// minScram is the least cost of a SCRAM secret (RFC 7677 section 4).
const minScram = 4096

// hashParams is the cost of an argon2id hash.
type hashParams struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// newParams is what new hashes cost: 19 MB and two passes.
var newParams = hashParams{memory: 19456, time: 2, threads: 1}

// Bounds of the parameters that a stored hash may ask for.
const (
	maxHashMemory = 1 << 20 // KiB
	maxHashTime   = 64
)

func (p hashParams) bytes() int64 { return int64(p.memory) << 10 }

// passwordHash is a hash in PHC form: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type passwordHash struct {
	hashParams
	salt, sum []byte
}

var errHash = errors.New("directory: not an argon2id hash")

func parseHash(phc string) (passwordHash, error) {
	var h passwordHash
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, errHash
	}
	if parts[3] != h.hashParams.String() || h.memory < 8 || h.memory > maxHashMemory ||
		h.time < 1 || h.time > maxHashTime || h.threads < 1 {
		return h, errHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return h, errHash
	}
	return h, nil
}

func (p hashParams) String() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.time, p.threads)
}

func (h passwordHash) String() string {
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$%s$%s$%s", argon2.Version, h.hashParams, enc(h.salt), enc(h.sum))
}

// newHash hashes a password that preparePassword has seen.
func newHash(password string) passwordHash {
	h := passwordHash{hashParams: newParams, salt: make([]byte, 16)}
	rand.Read(h.salt) // never fails (crypto/rand)
	h.sum = argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, 32)
	return h
}

// verify compares in constant time.
func (h passwordHash) verify(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// preparePassword brings a password into the form that is hashed (RFC 5802
// section 2.2: SASLprep). What cannot be prepared is refused as a new password;
// ok is false then.
func preparePassword(password string) (prepared string, ok bool) {
	if password == "" || len(password) > maxPassword || !utf8.ValidString(password) {
		return "", false
	}
	prepared, err := stringprep.SASLprep.Prepare(password)
	return prepared, err == nil && prepared != ""
}

// newScram makes the secret of a password (RFC 5802 section 3).
func newScram(hash crypto.Hash, password string, iterations int) (*scramForm, error) {
	s := &scramForm{Salt: make([]byte, 16), Iterations: iterations}
	rand.Read(s.Salt) // never fails (crypto/rand)
	salted, err := pbkdf2.Key(hash.New, password, s.Salt, iterations, hash.Size())
	if err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(hmacOf(hash, salted, "Client Key"))
	s.StoredKey = h.Sum(nil)
	s.ServerKey = hmacOf(hash, salted, "Server Key")
	return s, nil
}

func hmacOf(hash crypto.Hash, key []byte, text string) []byte {
	h := hmac.New(hash.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// newSecrets makes the secrets of a new password.
func (l *logins) newSecrets(ctx context.Context, password string) (form secretForm, err error) {
	prepared, ok := preparePassword(password)
	if !ok {
		return form, fmt.Errorf("%w: a password is 1 to %d bytes of text (RFC 4013)", ErrInvalid, maxPassword)
	}
	if err := l.addScram(&form, prepared); err != nil {
		return form, err
	}
	if err := l.memory.Acquire(ctx, l.share(newParams)); err != nil {
		return form, err
	}
	defer l.memory.Release(l.share(newParams))
	form.Hash = newHash(prepared).String()
	return form, nil
}

// addScram makes the SCRAM secrets of a prepared password that are missing.
func (l *logins) addScram(form *secretForm, prepared string) (err error) {
	if form.Scram == nil {
		if form.Scram, err = newScram(crypto.SHA256, prepared, l.scramIterations); err != nil {
			return err
		}
	}
	if form.ScramSHA1 == nil {
		form.ScramSHA1, err = newScram(crypto.SHA1, prepared, l.scramIterations)
	}
	return err
}
