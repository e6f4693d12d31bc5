package smtp

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of a list of solicitation classes, in bytes: MaxSolicit of one that a
// message comes with (RFC 3865 section 2.2), MaxUnwanted of one that a server names,
// which has to go into a line of a reply (RFC 5321 section 4.5.3.1.5).
const (
	MaxSolicit  = 1000
	MaxUnwanted = 450
)

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

// MatchSolicit gives those of the unwanted classes that are in a list, as a list
// again; "" is none.
func MatchSolicit(list string, unwanted []string) string {
	words := strings.Split(list, ",")
	var found []string
	for _, u := range unwanted {
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(u, w) }) {
			found = append(found, u)
		}
	}
	return strings.Join(found, ",")
}
