package mailbox

import "time"

// MatchKind is what a Criterion asks.
type MatchKind uint8

// The criteria; the comments name the fields that they read.
const (
	MatchAll          MatchKind = iota
	MatchAnd                    // Sub, all of them; none is true
	MatchOr                     // Sub, any of them
	MatchNot                    // Sub[0]
	MatchFlags                  // Flags: all set
	MatchKeyword                // Text, compared without case
	MatchUIDs                   // UIDs
	MatchSeqs                   // UIDs used as sequence numbers of the snapshot searched
	MatchLarger                 // Number: size > Number
	MatchSmaller                // Number: size < Number
	MatchInternalDate           // Since <= day < Before, by calendar day in UTC; a zero bound is open
	MatchSentDate               // the same of the Date field, its day disregarding time and zone
	MatchSaveDate               // the same of the save date
	MatchModSeq                 // Number: modseq >= Number
	MatchHeader                 // Field, Text: the decoded field contains Text; "" = field is present
	MatchFrom                   // Text in the From field; likewise the next four
	MatchTo
	MatchCc
	MatchBcc
	MatchSubject
	MatchBody // Text in the decoded text of the body
	MatchText // Text in header or body
)

// Criterion is a search as a tree. Texts are UTF-8, compared as substrings
// under Unicode case folding (RFC 9051 section 6.4.4), encoded words and
// transfer encodings decoded.
type Criterion struct {
	Kind          MatchKind
	Sub           []*Criterion
	Flags         Flags
	UIDs          UIDSet
	Number        uint64
	Field         string
	Text          string
	Since, Before time.Time
}
