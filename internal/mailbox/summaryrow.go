package mailbox

import (
	"errors"
	"fmt"

	"posthouse/internal/message"
)

// maxSummaryRow is the longest summary that is kept (kv values end at 64 KB);
// longer ones, of messages with a thousand parts, are made again when they are asked for.
const maxSummaryRow = 1 + message.MaxEncoded

var errNotKept = errors.New("mailbox: summary not kept")

// encodeSummary makes the row; the form behind its version is package message's own.
func encodeSummary(sum *message.Summary) []byte {
	b := sum.AppendBinary([]byte{rowVersion})
	if len(b) > maxSummaryRow {
		return []byte{rowVersion}
	}
	return b
}

func decodeSummary(b []byte) (*message.Summary, error) {
	if len(b) == 0 || b[0] != rowVersion {
		return nil, fmt.Errorf("%w: summary", errRow)
	}
	if len(b) == 1 {
		return nil, errNotKept
	}
	return message.DecodeSummary(b[1:])
}
