package intake

import (
	"strings"
	"testing"

	"posthouse/internal/status"
)

// What some program could read as somebody else's address is refused, and odd
// spellings of one's own are not.
func TestAuthorsOfSubmissions(t *testing.T) {
	h := newHouse(t, "alice@example.test", "bob@example.test")
	for head, want := range map[string]string{
		"From: Al <alice@example.test> <bob@example.test>":                           "5.6.0",
		"From: Al <alice@example.test>, <alice@example.test>\r\n <bob@example.test>": "5.6.0",
		"From: Al <alice <bob@example.test>>":                                        "5.6.0",
		"Subject: x\rFrom: bob@example.test":                                         "5.6.11",
		"From: bob@example.test":                                                     "5.7.1",
		"From: alice@example.test (Al), bob@example.test":                            "5.7.1",
		"X: " + strings.Repeat("y", maxHead) + "\r\nFrom: bob@example.test":          "5.3.4",
		"From: A. L. Ice <alice@example.test>":                                       "",
		"From: \"Ice <al>, the \\\"first\\\"\" <alice@example.test>":                 "",
		"From: Al (at <work> \\) ) <alice@example.test>":                             "",
		"From: Al <alice@example.test>, Alice <Alice+x@example.test>":                "",
		"From: =?utf-8?q?=3Cbob=3E?= <alice@example.test>":                           "",
		"From: <@one.test,@two.test:alice@example.test>":                             "",
		"From: Us: Al <alice@example.test>, <alice@example.test>;":                   "",
		"From: 8-bit \xfc <alice@example.test>":                                      "",
		"Subject: no author":                                                         "",
	} {
		x, err := h.in.Begin(t.Context(), h.submission("bob@example.test"))
		h.must(err)
		_, err = x.Write([]byte(head + "\r\n\r\ntext\r\n"))
		h.must(err)
		_, err = x.Commit(t.Context(), true)
		got := ""
		if err != nil {
			got = status.Of(err).Enhanced.String()
		}
		if got != want {
			t.Errorf("%.60q: %q %v, want %q", head, got, err, want)
		}
	}
}
