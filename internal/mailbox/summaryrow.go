package mailbox

import (
	"errors"
	"fmt"

	"posthouse/internal/message"
)

// errNotKept is the answer for a row without a summary; such were made once.
var errNotKept = errors.New("mailbox: summary not kept")

// encodeSummary makes the row; the form behind its version is package message's own,
// and is shorter than message.MaxEncoded (kv values end at 64 KB).
func encodeSummary(sum *message.Summary) []byte { return sum.AppendBinary([]byte{rowVersion}) }

func decodeSummary(b []byte) (*message.Summary, error) {
	if len(b) == 0 || b[0] != rowVersion {
		return nil, fmt.Errorf("%w: summary", errRow)
	}
	if len(b) == 1 {
		return nil, errNotKept
	}
	return message.DecodeSummary(b[1:])
}
