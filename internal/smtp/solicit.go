package smtp

import (
	"fmt"
	"slices"
	"strings"
)

// MaxSolicit is the longest list of solicitation classes, in bytes (RFC 3865
// section 2.2).
const MaxSolicit = 1000

// ParseSolicit reads the classes of solicitation that a message belongs to, as
// SOLICIT and the field Solicitation have them (RFC 3865 section 2.2): words such
// as "net.example:ADV" with commas between. Errors wrap ErrParameter.
func ParseSolicit(value string) ([]string, error) {
	bad := fmt.Errorf("%w: SOLICIT is classes such as net.example:ADV, with commas between", ErrParameter)
	if len(value) > MaxSolicit {
		return nil, bad
	}
	words := strings.Split(value, ",")
	if slices.ContainsFunc(words, func(w string) bool { return !isSolicitWord(w) }) {
		return nil, bad
	}
	return words, nil
}

func isSolicitWord(w string) bool {
	for i := range len(w) {
		alpha := 'a' <= w[i]|0x20 && w[i]|0x20 <= 'z'
		if !alpha && (i == 0 || !isDigit(w[i]) && strings.IndexByte(".-_:", w[i]) < 0) {
			return false
		}
	}
	return w != ""
}

// MatchSolicit gives those of the classes in a list that are among the unwanted, as
// a list again; "" is none.
func MatchSolicit(list string, unwanted []string) string {
	var found []string
	for w := range strings.SplitSeq(list, ",") {
		if slices.ContainsFunc(unwanted, func(u string) bool { return strings.EqualFold(u, w) }) {
			found = append(found, w)
		}
	}
	return strings.Join(found, ",")
}
