package mailbox

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"posthouse/internal/kv"
)

// maxKeywords is the size of a mailbox's dictionary: the bits of Entry.Keywords.
const maxKeywords = 64

// maxKeyword is the most bytes of one keyword.
const maxKeyword = 255

// dictionary is what a transaction knows of a mailbox's keywords. Names are only
// added, until there are as many as there are bits. Then a new one takes the place
// of one that no message bears any more, so that bits of a snapshot mean something
// with the names of that snapshot alone.
type dictionary struct {
	names   []string // nil until needed; never changed in place
	handed  uint64   // bits that the transaction may be about to set
	free    uint64   // bits that no message had when they were counted
	counted bool
}

// readKeywords reads a dictionary of n names.
func readKeywords(r kv.Reader, k keyspace, id uint32, n int) ([]string, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := r.Get(k.keywords(id))
	if err != nil {
		return nil, fmt.Errorf("keywords of mailbox %d: %w", id, err)
	}
	names, err := decodeKeywords(b)
	if err == nil && len(names) != n {
		err = fmt.Errorf("%w: mailbox %d has %d keywords, not %d", errRow, id, len(names), n)
	}
	return names, err
}

// names is the mailbox's dictionary.
func (b *boxEdit) names() ([]string, error) {
	if b.dict.names == nil && b.row.keywords > 0 {
		var err error
		if b.dict.names, err = readKeywords(b.e.tx, b.e.keys, b.id, b.row.keywords); err != nil {
			return nil, err
		}
	}
	return b.dict.names, nil
}

// keywordBits turns keywords into bits. With add, unknown ones enter the
// dictionary: all of them, or ErrKeywords; without, they are passed over.
func (b *boxEdit) keywordBits(words []string, add bool) (uint64, error) {
	if len(words) == 0 {
		return 0, nil
	}
	known, err := b.names()
	if err != nil {
		return 0, err
	}
	names := slices.Clone(known)
	var found uint64
	var unknown []string
	for _, w := range words {
		if i := indexKeyword(names, w); i >= 0 {
			found |= 1 << i
		} else if add {
			unknown = append(unknown, w)
		}
	}
	for _, w := range unknown {
		i := indexKeyword(names, w) // it may have been given twice
		if i < 0 {
			if names, i, err = b.addKeyword(names, w, found); err != nil {
				return 0, err
			}
		}
		found |= 1 << i
	}
	b.dict.handed |= found
	if len(unknown) == 0 {
		return found, nil
	}
	b.touch()
	b.dict.names, b.row.keywords = names, len(names)
	return found, b.e.tx.Set(b.e.keys.keywords(b.id), encodeKeywords(names))
}

func indexKeyword(names []string, word string) int {
	return slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, word) })
}

// addKeyword finds a place for a name in a copy of the dictionary; those of the
// bits in taken are about to be used.
func (b *boxEdit) addKeyword(names []string, word string, taken uint64) ([]string, int, error) {
	if word == "" || len(word) > maxKeyword {
		return nil, 0, ErrLongKeyword
	}
	if len(names) < maxKeywords {
		return append(names, word), len(names), nil
	}
	if err := b.countKeywords(); err != nil {
		return nil, 0, err
	}
	free := b.dict.free &^ b.dict.handed &^ taken
	if free == 0 {
		return nil, 0, ErrKeywords
	}
	i := bits.TrailingZeros64(free)
	names[i] = word
	return names, i, nil
}

// countKeywords finds the bits that no message has, by one scan of the mailbox in
// a transaction that needs it, which ends where all are found in use.
func (b *boxEdit) countKeywords() error {
	if b.dict.counted {
		return nil
	}
	var used uint64
	var bad error
	var e Entry
	prefix := b.e.keys.messages(b.id)
	err := b.e.tx.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		bad = decodeEntry(uidOf(key), value, &e)
		used |= e.Keywords
		return bad == nil && used != 1<<maxKeywords-1
	})
	if err != nil {
		return err
	}
	b.dict.free, b.dict.counted = ^used, true
	return bad
}
