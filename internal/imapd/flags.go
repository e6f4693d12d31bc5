package imapd

import (
	"slices"
	"strconv"
	"strings"

	"posthouse/internal/imap"
	"posthouse/internal/mailbox"
)

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

func appendModSeq(b []byte, modseq uint64) []byte {
	b = append(b, "MODSEQ ("...)
	return append(appendUint(b, modseq), ')')
}

func sortSpans(spans []span) {
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
}

var systemFlags = []struct {
	name string
	bit  mailbox.Flags
}{
	{`\Answered`, mailbox.Answered}, {`\Flagged`, mailbox.Flagged}, {`\Deleted`, mailbox.Deleted},
	{`\Seen`, mailbox.Seen}, {`\Draft`, mailbox.Draft},
}

const allFlags = mailbox.Seen | mailbox.Answered | mailbox.Flagged | mailbox.Deleted | mailbox.Draft

// flagBits turns the names of system flags into bits.
func flagBits(names []string) mailbox.Flags {
	var bits mailbox.Flags
	for _, n := range names {
		for _, f := range systemFlags {
			if f.name == n {
				bits |= f.bit
			}
		}
	}
	return bits
}

// plainTexts are the flag lists without keywords.
var plainTexts = func() (texts [allFlags + 1]string) {
	for i := range texts {
		texts[i] = flagText(mailbox.Flags(i), 0, nil)
	}
	return texts
}()

func flagText(flags mailbox.Flags, keywords uint64, names []string) string {
	var words []string
	for _, f := range systemFlags {
		if flags&f.bit != 0 {
			words = append(words, f.name)
		}
	}
	for i, n := range names {
		if i < 64 && keywords&(1<<i) != 0 {
			words = append(words, n)
		}
	}
	return "(" + strings.Join(words, " ") + ")"
}

type flagKey struct {
	flags    mailbox.Flags
	keywords uint64
}

// flagTexts makes the text of a flag list once for each combination that a
// mailbox has. The zero value is ready.
type flagTexts struct {
	names []string // the dictionary that texts was made from
	texts map[flagKey]string
	last  flagKey
	text  string
}

// maxTexts bounds the combinations remembered.
const maxTexts = 1024

// of is the flag list of e, an entry of snap, "(\Seen Work)".
func (t *flagTexts) of(snap *mailbox.Snapshot, e *mailbox.Entry) string {
	if e.Keywords == 0 {
		return plainTexts[e.Flags&allFlags]
	}
	names := snap.Keywords()
	if !sameNames(names, t.names) || len(t.texts) >= maxTexts {
		*t = flagTexts{names: names}
	}
	key := flagKey{e.Flags, e.Keywords}
	if key == t.last && t.text != "" {
		return t.text
	}
	text, ok := t.texts[key]
	if !ok {
		text = flagText(e.Flags, e.Keywords, names)
		if t.texts == nil {
			t.texts = make(map[flagKey]string)
		}
		t.texts[key] = text
	}
	t.last, t.text = key, text
	return text
}

// sameNames reports whether two snapshots share their dictionary.
func sameNames(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// keywordBits is the bits of names in a mailbox's dictionary.
func keywordBits(dictionary, names []string) uint64 {
	var bits uint64
	for i, k := range dictionary {
		if i >= 64 {
			break
		}
		for _, n := range names {
			if strings.EqualFold(k, n) {
				bits |= 1 << i
			}
		}
	}
	return bits
}

var storeOps = map[imap.StoreOp]mailbox.FlagOp{
	imap.StoreSet: mailbox.FlagsSet, imap.StoreAdd: mailbox.FlagsAdd, imap.StoreRemove: mailbox.FlagsRemove,
}
