package mailbox

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// inboxName is INBOX as it is stored, and inboxID its id in every account: it is
// the first mailbox made, and never deleted or renamed away.
const (
	inboxName = "INBOX"
	inboxID   = 1
)

// Bounds of a mailbox name in bytes.
const (
	maxName  = 512
	maxLevel = 255
)

// CleanName brings a mailbox name into the form that is stored: NFC, INBOX in
// capitals as the first level. It answers ErrBadName for a name that no mailbox
// can have.
func CleanName(name string) (string, error) {
	if name == inboxName {
		return name, nil
	}
	if !utf8.ValidString(name) {
		return "", ErrBadName
	}
	name = norm.NFC.String(name)
	if name == "" || len(name) > maxName {
		return "", ErrBadName
	}
	for _, r := range name {
		// Net-Unicode (RFC 5198 section 2), which RFC 9051 section 5.1 asks for
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError || r == '\ufeff' {
			return "", ErrBadName
		}
	}
	for level := range strings.SplitSeq(name, string(Separator)) {
		if level == "" || len(level) > maxLevel {
			return "", ErrBadName
		}
	}
	first, rest, _ := strings.Cut(name, string(Separator))
	// RFC 9051 section 5.1: INBOX is the same in any case
	if first != inboxName && strings.EqualFold(first, inboxName) {
		name = inboxName
		if rest != "" {
			name += string(Separator) + rest
		}
	}
	return name, nil
}

// cleanNewName is CleanName for CREATE and RENAME, where a separator at the end
// only says that children will follow (RFC 9051 section 6.3.4).
func cleanNewName(name string) (string, error) {
	return CleanName(strings.TrimSuffix(name, string(Separator)))
}

// parents are the names above name, from the top.
func parents(name string) []string {
	var out []string
	for i := range len(name) {
		if name[i] == Separator {
			out = append(out, name[:i])
		}
	}
	return out
}

// isBelow reports whether name is a child, at any depth, of parent.
func isBelow(name, parent string) bool {
	return len(name) > len(parent) && name[len(parent)] == Separator && strings.HasPrefix(name, parent)
}

// sortInfos orders mailboxes as people expect: INBOX first, parents before their
// children, siblings by name.
func sortInfos(list []Info) {
	slices.SortFunc(list, func(a, b Info) int { return compareNames(a.Name, b.Name) })
}

func compareNames(a, b string) int {
	inA, inB := a == inboxName || isBelow(a, inboxName), b == inboxName || isBelow(b, inboxName)
	if inA != inB {
		if inA {
			return -1
		}
		return 1
	}
	for {
		levelA, restA, moreA := strings.Cut(a, string(Separator))
		levelB, restB, moreB := strings.Cut(b, string(Separator))
		if c := strings.Compare(levelA, levelB); c != 0 {
			return c
		}
		if !moreA || !moreB {
			return cmp.Compare(len(restA), len(restB))
		}
		a, b = restA, restB
	}
}
