package mailbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"posthouse/internal/message"
)

// searchMails are the mailbox that TestSearch searches; uids are 1, 2 …
var searchMails = []string{
	1: "From: \"Ann Smith\" <ann@example.test>\r\nTo: bob@example.test, Team: carl@example.test, dora@example.test;\r\n" +
		"Cc: Eve <eve@example.org>\r\nSubject: The Quarterly report\r\nMessage-ID: <q1@example.test>\r\n" +
		"Date: Mon, 02 Mar 2026 23:30:00 -0500\r\nX-Spam-Flag:\r\n\r\nPlain words here.\r\n",
	2: "From: =?utf-8?q?J=C3=BCrgen?= <j@example.test>\r\nTo: ann@example.test\r\nBcc: secret@example.test\r\n" +
		"Subject: =?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte("Grüße aus Köln")) + "?=\r\n" +
		"Message-ID: <q2@example.test>\r\nIn-Reply-To: <q1@example.test>\r\nDate: Tue, 03 Mar 2026 00:30:00 +0100\r\n" +
		"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Stra=DFe, ein lan=\r\nges Wort\r\n",
	3: "From: bob@example.test\r\nSubject: mixed\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte("<p>Ελληνικά ΚΕΊΜΕΝΟ</p>")) + "\r\n--b\r\n" +
		"Content-Type: application/octet-stream; name=hidden.bin\r\n\r\nbinarytext\r\n--b\r\n" +
		"Content-Type: message/rfc822\r\n\r\nFrom: inner@example.test\r\nSubject: Innermost\r\n\r\nforwarded words\r\n--b--\r\n",
	4: "no header at all, only this line\r\n",
	5: "From: x@example.test\r\nSubject: koi8\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		"\xf0\xd2\xc9\xd7\xc5\xd4\r\n", // Привет
}

func searchGround(t *testing.T) (*ground, *Mailbox) {
	g := newGround(t)
	g.create(1)
	for _, text := range searchMails[1:] {
		g.deliver(1, "INBOX", text)
		g.clock.Advance(24 * time.Hour)
	}
	m := g.box(g.account(1), "INBOX")
	_, err := m.StoreFlags(t.Context(), StoreRequest{UIDs: UIDSet{{2, 3}}, Op: FlagsAdd, Flags: Seen, Keywords: []string{"$Work"}})
	g.must(err)
	return g, m
}

func TestSearch(t *testing.T) {
	_, m := searchGround(t)
	modseq := m.Snapshot().Status().HighestModSeq
	day := func(s string) time.Time {
		d, err := time.Parse("2006-01-02", s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	text := func(k MatchKind, s string) *Criterion { return &Criterion{Kind: k, Text: s} }
	field := func(name, s string) *Criterion { return &Criterion{Kind: MatchHeader, Field: name, Text: s} }
	not := func(c *Criterion) *Criterion { return &Criterion{Kind: MatchNot, Sub: []*Criterion{c}} }
	and := func(c ...*Criterion) *Criterion { return &Criterion{Kind: MatchAnd, Sub: c} }
	or := func(c ...*Criterion) *Criterion { return &Criterion{Kind: MatchOr, Sub: c} }
	seen := &Criterion{Kind: MatchFlags, Flags: Seen}
	all := []uint32{1, 2, 3, 4, 5}
	for _, test := range []struct {
		name string
		c    *Criterion
		want []uint32
	}{
		{"all", &Criterion{Kind: MatchAll}, all},
		{"nil", nil, all},
		{"empty and", and(), all},
		{"empty or", or(), nil},
		{"flags", seen, []uint32{2, 3}},
		{"two flags", &Criterion{Kind: MatchFlags, Flags: Seen | Deleted}, nil},
		{"keyword", text(MatchKeyword, "$work"), []uint32{2, 3}},
		{"unknown keyword", text(MatchKeyword, "$none"), nil},
		{"uids", &Criterion{Kind: MatchUIDs, UIDs: UIDSet{{4, 9}, {1, 1}}}, []uint32{1, 4, 5}},
		{"seqs", &Criterion{Kind: MatchSeqs, UIDs: one(2)}, []uint32{2}},
		{"larger", &Criterion{Kind: MatchLarger, Number: uint64(len(searchMails[3]) - 1)}, []uint32{3}},
		{"smaller", &Criterion{Kind: MatchSmaller, Number: uint64(len(searchMails[4]) + 1)}, []uint32{4}},
		{"modseq", &Criterion{Kind: MatchModSeq, Number: modseq}, []uint32{2, 3}},
		{"since", &Criterion{Kind: MatchInternalDate, Since: day("2027-01-16")}, []uint32{2, 3, 4, 5}},
		{"on", &Criterion{Kind: MatchInternalDate, Since: day("2027-01-16"), Before: day("2027-01-17")}, []uint32{2}},
		{"saved before", &Criterion{Kind: MatchSaveDate, Before: day("2027-01-16")}, []uint32{1}},
		// RFC 9051 section 6.4.4: the day of the field, disregarding time and zone
		{"sent on", &Criterion{Kind: MatchSentDate, Since: day("2026-03-02"), Before: day("2026-03-03")}, []uint32{1}},
		{"sent since", &Criterion{Kind: MatchSentDate, Since: day("2026-03-03")}, []uint32{2}},
		{"from name", text(MatchFrom, "ANN"), []uint32{1}},
		{"from address", text(MatchFrom, "@example.test"), []uint32{1, 2, 3, 5}},
		{"from encoded name", text(MatchFrom, "JÜRGEN"), []uint32{2}},
		{"from across", text(MatchFrom, `smith" <ann`), []uint32{1}},
		{"to", text(MatchTo, "dora"), []uint32{1}},
		{"to, group name", text(MatchTo, "team:"), []uint32{1}},
		{"cc", text(MatchCc, "eve"), []uint32{1}},
		{"bcc", text(MatchBcc, "secret"), []uint32{2}},
		{"subject", text(MatchSubject, "quarterly"), []uint32{1}},
		{"subject, encoded", text(MatchSubject, "GRÜSSE"), nil},
		{"subject, encoded and folded", text(MatchSubject, "grüße AUS kÖln"), []uint32{2}},
		{"any subject", text(MatchSubject, ""), []uint32{1, 2, 3, 5}},
		{"header", field("in-reply-to", "q1@"), []uint32{2}},
		{"message-id", field("message-id", "<Q1@example.test>"), []uint32{1}},
		{"empty field is there", field("X-Spam-Flag", ""), []uint32{1}},
		{"empty field has no text", field("X-Spam-Flag", "yes"), nil},
		{"body", text(MatchBody, "plain WORDS"), []uint32{1}},
		{"body, not header", text(MatchBody, "quarterly"), nil},
		{"body, quoted-printable latin-1", text(MatchBody, "schöne straße"), []uint32{2}},
		{"body, soft break", text(MatchBody, "ein langes wort"), []uint32{2}},
		{"body, base64 utf-8", text(MatchBody, "ΕΛΛΗΝΙΚΆ κείμενο"), []uint32{3}},
		{"body, koi8", text(MatchBody, "привет"), []uint32{5}},
		{"body, message inside", text(MatchBody, "forwarded"), []uint32{3}},
		{"body, header of message inside", text(MatchBody, "innermost"), []uint32{3}},
		{"body, not text", text(MatchBody, "binarytext"), nil},
		{"body, not preamble", text(MatchBody, "preamble"), nil},
		{"body without header", text(MatchBody, "only this line"), []uint32{4}},
		{"empty body text", text(MatchBody, ""), all},
		{"text in header", text(MatchText, "köln"), []uint32{2}},
		{"text, field name", text(MatchText, "x-spam-flag: "), []uint32{1}},
		{"text in body", text(MatchText, "words"), []uint32{1, 3}},
		{"text in header of part", text(MatchText, "hidden.bin"), []uint32{3}},
		{"not", not(seen), []uint32{1, 4, 5}},
		{"not body", not(text(MatchBody, "words")), []uint32{2, 4, 5}},
		{"and", and(text(MatchBody, "words"), seen), []uint32{3}},
		{"or", or(text(MatchBody, "plain"), seen), []uint32{1, 2, 3}},
		{"nested", and(or(text(MatchSubject, "report"), text(MatchSubject, "mixed")), not(and(seen, text(MatchFrom, "bob")))), []uint32{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := m.Search(t.Context(), m.Snapshot(), test.c)
			if err != nil {
				t.Fatal(err)
			}
			var got []uint32
			for _, e := range found {
				got = append(got, e.UID)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v", got, test.want)
			}
		})
	}
}

func TestSearchAddressesBeyondTheSummary(t *testing.T) {
	g := newGround(t)
	g.create(1)
	var to strings.Builder
	for i := range 4000 {
		if i > 0 {
			to.WriteString(",\r\n ")
		}
		to.WriteString("someone" + strings.Repeat("x", i%50) + "@example.test")
	}
	g.deliver(1, "INBOX", "To: "+to.String()+",\r\n last.of.all@example.org\r\n\r\nhello\r\n")
	m := g.box(g.account(1), "INBOX")
	found, err := m.Search(t.Context(), m.Snapshot(), &Criterion{Kind: MatchTo, Text: "last.of.all"})
	if err != nil || len(found) != 1 {
		t.Errorf("found %d, %v", len(found), err)
	}
}

func TestSearchIsGivenUp(t *testing.T) {
	_, m := searchGround(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Search(ctx, m.Snapshot(), &Criterion{Kind: MatchBody, Text: "words"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSearchPassesOverWhatIsGone(t *testing.T) {
	g, m := searchGround(t)
	old := m.Snapshot()
	_, err := m.Expunge(t.Context(), one(1), true)
	g.must(err)
	g.clock.Advance(defaultRecoverable + 2*time.Hour)
	g.must(g.Sweep(t.Context()))
	found, err := m.Search(t.Context(), old, &Criterion{Kind: MatchBody, Text: "words"})
	if err != nil || len(found) != 1 || found[0].UID != 3 {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestStreamContains(t *testing.T) {
	needle := message.FoldCase("nadel in ÄÖÜ")
	hay := strings.Repeat("Straw, жито, 藁. ", 5000)
	for _, pos := range []int{0, 1, 2, streamWindow - 13, streamWindow - 3, streamWindow, 2*streamWindow - 1, len(hay)} {
		for !utf8.RuneStart((hay + "x")[pos]) {
			pos++
		}
		text := hay[:pos] + "NADEL in äöü" + hay[pos:]
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(text),
			"bytes": iotest.OneByteReader(strings.NewReader(text)),
			"half":  iotest.HalfReader(strings.NewReader(text)),
			"err":   iotest.DataErrReader(strings.NewReader(text)),
		} {
			if found, err := streamContains(r, needle); !found || err != nil {
				t.Errorf("%s, at %d: %v, %v", name, pos, found, err)
			}
		}
		if found, _ := streamContains(strings.NewReader(hay), needle); found {
			t.Error("found in straw alone")
		}
	}
}

// A header longer than what is looked at together is searched to its end, but of
// one field only as much as that.
func TestSearchLongHeader(t *testing.T) {
	g := newGround(t)
	g.create(1)
	var header strings.Builder
	for i := range 30000 {
		fmt.Fprintf(&header, "X-%d: %s\r\n\tfolded %d.\r\n", i, strings.Repeat("v", 80), i)
	}
	raw := header.String() + "Long: " + strings.Repeat("w", headerWindow) + "Hidden: x\r\n Hidden: x\r\nHidden-Not: there\r\nSubject: late\r\n\r\nbody\r\n"
	g.deliver(1, "INBOX", raw)
	if header.Len() < 3*headerWindow {
		t.Fatal("the header is not long")
	}
	m := g.box(g.account(1), "INBOX")
	for _, tt := range []struct {
		field, text string
		want        int
	}{
		{"X-0", "folded 0.", 1}, {"X-29999", "folded 29999.", 1}, {"X-29999", "folded 29998.", 0}, {"X-15000", "vvv\tfolded 15000.", 1},
		{"Subject", "late", 1}, {"Long", "www", 1}, {"Long", "x", 0}, {"Hidden", "", 0}, {"Hidden-Not", "there", 1}, {"X-30000", "", 0},
	} {
		got, err := m.Search(t.Context(), m.Snapshot(), &Criterion{Kind: MatchHeader, Field: tt.field, Text: tt.text})
		if err != nil || len(got) != tt.want {
			t.Errorf("%s %q: found %d, want %d; %v", tt.field, tt.text, len(got), tt.want, err)
		}
	}
	e := m.Snapshot().At(0)
	c := &candidate{e: &e, m: m, ctx: t.Context(), sum: message.Parse([]byte(raw))}
	defer c.close()
	n := 0
	if c.anyField(&c.sum.Root, func(message.Field) bool { n++; return false }); n != 30003 || c.err != nil {
		t.Errorf("%d fields, want 30003; %v", n, c.err)
	}
}
