package message

import (
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func addr(name, mailbox, host string) Address {
	return Address{Name: name, Mailbox: mailbox, Host: host}
}

var addressLists = []struct {
	raw  string
	want []Address
}{
	{"", nil},
	{" , ,", nil},
	{"a@b", []Address{addr("", "a", "b")}},
	{"A B <a@b>", []Address{addr("A B", "a", "b")}},
	{`"B, A" <a@b>, c@d`, []Address{addr("B, A", "a", "b"), addr("", "c", "d")}},
	{`"A \"x\" B" <a@b>`, []Address{addr(`A "x" B`, "a", "b")}},
	{"a@b (Alice (the) first)", []Address{addr("Alice (the) first", "a", "b")}},
	{"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", []Address{addr("Pete", "pete", "silly.test")}},
	{"<a@b> Alice", []Address{addr("Alice", "a", "b")}},
	{"<a@b> (Alice)", []Address{addr("Alice", "a", "b")}},
	{"A Group:Ed Jones <joe@where.test>,john@one.test;, x@y", []Address{
		{Mailbox: "A Group", Group: GroupStart}, addr("Ed Jones", "joe", "where.test"), addr("", "john", "one.test"), {Group: GroupEnd}, addr("", "x", "y"),
	}},
	{"undisclosed-recipients:;", []Address{{Mailbox: "undisclosed-recipients", Group: GroupStart}, {Group: GroupEnd}}},
	{"g: a@b", []Address{{Mailbox: "g", Group: GroupStart}, addr("", "a", "b"), {Group: GroupEnd}}},
	{"a@b; c@d", []Address{addr("", "a", "b"), addr("", "c", "d")}},
	{"<@x,@y.z:a@b>, c@d", []Address{addr("", "a", "b"), addr("", "c", "d")}},
	{"<<a@b>>", []Address{addr("", "a", "b")}},
	{"X <a@b", []Address{addr("X", "a", "b")}},
	{"X <a@b, c@d", []Address{addr("X", "a", "b"), addr("", "c", "d")}},
	{"X a@b>, c@d", []Address{addr("X", "a", "b>"), addr("", "c", "d")}},
	{"John Doe jdoe@example.test", []Address{addr("John Doe", "jdoe", "example.test")}},
	{`"joe x"@b`, []Address{addr("", "joe x", "b")}},
	{`"joe@x"@b, "y" <"q\"r"@b>`, []Address{addr("", "joe@x", "b"), addr("y", `q"r`, "b")}},
	{"a . b @ c . d", []Address{addr("", "a.b", "c.d")}},
	{"a@[192.0.2.1], b@[IPv6:2001:db8::1]", []Address{addr("", "a", "[192.0.2.1]"), addr("", "b", "[IPv6:2001:db8::1]")}},
	{"root", []Address{addr("", "root", "")}},
	{"Root <root>", []Address{addr("Root", "root", "")}},
	{"=?utf-8?q?J=C3=BC?= <j@x>", []Address{addr("=?utf-8?q?J=C3=BC?=", "j", "x")}},
	{"Jürgen <jürgen@grün.test>", []Address{addr("Jürgen", "jürgen", "grün.test")}},
	{`"unbalanced <a@b>`, []Address{addr("unbalanced", "a", "b")}},
	{"(unbalanced a@b", []Address{addr("(unbalanced", "a", "b")}},
	{"Joe Q. Public <john.q.public@example.test>", []Address{addr("Joe Q. Public", "john.q.public", "example.test")}},
	{"A\r\n\t<a@b>,\r\n B <c@d>", []Address{addr("A", "a", "b"), addr("B", "c", "d")}},
}

func TestParseAddressList(t *testing.T) {
	for _, tt := range addressLists {
		if got := ParseAddressList(tt.raw); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q\ngot  %+v\nwant %+v", tt.raw, got, tt.want)
		}
	}
}

var dates = []struct{ raw, want string }{
	{"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
	{"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"},
	{"21 Nov 97 09:55 EST", "1997-11-21T09:55:00-05:00"},
	{"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T09:55:06-06:00"},
	{"Thu,\r\n 13 Feb 1969 23:32:54 -0330 (Newfoundland Time)", "1969-02-13T23:32:54-03:30"},
	{"1 Jan 01 00:00:00 +0000", "2001-01-01T00:00:00Z"},
	{"1 Jan 101 00:00:00 +0000", "2001-01-01T00:00:00Z"},
	{"Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"},
	{"Mon Jan  2 15:04:05 -0700 2006", "2006-01-02T15:04:05-07:00"},
	{"Mon, 2-Jan-2006 15:04:05 +0100", "2006-01-02T15:04:05+01:00"},
	{"2006-01-02T15:04:05+01:00", "2006-01-02T15:04:05+01:00"},
	{"Tue, 1 Jul 2003 10:52:37 Z", "2003-07-01T10:52:37Z"},
	{"Tue, 1 Jul 2003 10:52:37 A", "2003-07-01T10:52:37Z"},
	{"1 July 2003 10:52:37+0200", "2003-07-01T10:52:37+02:00"},
	{"31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:59Z"},
	{"1 Jul 2003", "2003-07-01T00:00:00Z"},
	{"31 Feb 2003 10:00:00 +0000", ""},
	{"yesterday", ""},
	{"", ""},
}

func TestParseDate(t *testing.T) {
	for _, tt := range dates {
		got, ok := ParseDate(tt.raw)
		if text := got.Format(time.RFC3339); ok != (tt.want != "") || ok && text != tt.want {
			t.Errorf("%q: got %s %v, want %s", tt.raw, text, ok, tt.want)
		}
	}
}

var texts = []struct{ raw, want string }{
	{"plain", "plain"},
	{"=?iso-8859-1?q?this=20is=20some=20text?=", "this is some text"},
	{"=?ISO-8859-1?Q?a?= b", "a b"},
	{"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
	{"=?ISO-8859-1?Q?a?=\r\n  =?utf-8?Q?b?=", "ab"},
	{"=?ISO-8859-1?Q?a_b?=", "a b"},
	{"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"},
	{"=?utf-8?b?w6k=?= =?UTF-8?B?w6k?=", "éé"},
	{"=?utf-8?b?w6k=w6k=?=", "éé"},
	{"=?utf-8?q?a b?=", "a b"},
	{"=?utf-8*en?q?a?=", "a"},
	{"a=?utf-8?q?b?=c", "abc"},
	{"=?utf-8?x?b?=", "=?utf-8?x?b?="},
	{"=?utf-8?q?b", "=?utf-8?q?b"},
	{"=?nonsense?q?=E9?=", "é"},
	{"=?iso-2022-jp?b?GyRCJDMbKEI=?=", "こ"},
	{"gr\xfc\xdfe", "grüße"},
	{"grüße", "grüße"},
	{"=?utf-8?q?=0D=0ABcc:_x?=", "Bcc: x"},
	{"=?koi8-r?b?8NLJ18XU?= (x)", "Привет (x)"},
}

func TestDecodeText(t *testing.T) {
	for _, tt := range texts {
		if got := DecodeText(tt.raw); got != tt.want {
			t.Errorf("%q\ngot  %q\nwant %q", tt.raw, got, tt.want)
		}
	}
}

var paramLists = []struct {
	raw, value string
	want       []Param
}{
	{"text/plain", "text/plain", nil},
	{"text/plain; charset=utf-8", "text/plain", []Param{{"charset", "utf-8"}}},
	{`text/plain; charset="utf-8" (why); format=flowed;`, "text/plain", []Param{{"charset", "utf-8"}, {"format", "flowed"}}},
	{"text/ (why) plain (so); (x) a (y) = (z) b", "text/plain", []Param{{"a", "b"}}},
	{`a/b; n="x\"y;z"`, "a/b", []Param{{"n", `x"y;z`}}},
	{"a/b; name=two words.txt; c=d", "a/b", []Param{{"name", "two words.txt"}, {"c", "d"}}},
	{`a/b; name="open; c=d`, "a/b", []Param{{"name", "open"}, {"c", "d"}}},
	{"a/b;; stray; c=d", "a/b", []Param{{"c", "d"}}},
	{`a/b; c="d" e=f`, "a/b", []Param{{"c", "d"}, {"e", "f"}}},
	{"a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "a/b", []Param{{"title*", "us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"}}},
	{
		`a/b; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn't it!"`, "a/b",
		[]Param{{"title*", "us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"}},
	},
	{`a/b; x=1; URL*1="b"; URL*0="a"; y=2`, "a/b", []Param{{"x", "1"}, {"URL", "ab"}, {"y", "2"}}},
	{"a/b; filename=plain.txt; filename*=iso-8859-1''gr%FCn.txt", "a/b", []Param{{"filename", "plain.txt"}, {"filename*", "iso-8859-1''gr%FCn.txt"}}},
	{"a/b; f*=utf-8''%zz%4", "a/b", []Param{{"f*", "utf-8''%zz%4"}}},
	{"a/b; f*1*=%41; f*0=x*y; f=z", "a/b", []Param{{"f*", "''x%2Ay%41"}, {"f", "z"}}},
	{"a/b; f=z; f*0=x; f*1=y", "a/b", []Param{{"f", "z"}, {"f", "xy"}}},
	{"(", "", nil},
	{`multipart/mixed boundary="x y"; a=b`, "multipart/mixed", []Param{{"boundary", "x y"}, {"a", "b"}}},
	{"text / plain ; a=b", "text / plain", []Param{{"a", "b"}}},
	{"text/plain (open; charset=utf-8", "text/plain", []Param{{"charset", "utf-8"}}},
}

func TestParams(t *testing.T) {
	for _, tt := range paramLists {
		value, params := parseParams(tt.raw)
		if value != tt.value || !reflect.DeepEqual(params, tt.want) {
			t.Errorf("%q\ngot  %q %q\nwant %q %q", tt.raw, value, params, tt.value, tt.want)
		}
	}
}

// What is written in a charset is given as text to who asks for it.
func TestParam(t *testing.T) {
	for raw, want := range map[string]string{
		"a/b; n=plain; N*=iso-8859-1''gr%FCn.txt": "grün.txt", "a/b; n*=utf-8''%zz%4": "%zz%4", "a/b; n*=x%41": "xA", "a/b; n=1; n=2": "1",
		"a/b; n*0*=us-ascii'en'This%20is%20; n*1*=%2Afun%2A%20; n*2=\"isn't it!\"": "This is *fun* isn't it!", "a/b; n*0=x%41; n*1*=%C3%BC": "x%41ü",
		"a/b; m=1": "",
	} {
		var p Part
		if _, p.Params = parseParams(raw); p.Param("n") != want {
			t.Errorf("%q: %q, want %q", raw, p.Param("n"), want)
		}
	}
}

func TestHeader(t *testing.T) {
	h := Header("From x\r\nA: 1\r\n 2\r\nb : x\r\nstray\r\n\tmore\r\na:\r\n\r\nA: body\r\n")
	var got []string
	for f := range h.Fields() {
		got = append(got, string(h[f.Start:f.End])+"|"+string(f.Name)+"|"+f.Text())
	}
	want := []string{"A: 1\r\n 2\r\n|A|1 2", "b : x\r\nstray\r\n\tmore\r\n|b|x stray\tmore", "a:\r\n|a|"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if v, ok := h.Get("B"); !ok || v != "x stray\tmore" {
		t.Errorf("Get: %q %v", v, ok)
	}
	if all := h.All("a"); !slices.Equal(all, []string{"1 2", ""}) {
		t.Errorf("All: %q", all)
	}
	if _, ok := h.Get("c"); ok {
		t.Error("a field that is not there")
	}
	if n := HeaderEnd(h); string(h[n:]) != "A: body\r\n" {
		t.Errorf("HeaderEnd %d", n)
	}
}

func TestEnvelope(t *testing.T) {
	s := Parse([]byte(crlf("Received: x\nReceived: y\nFrom: a@b\nFrom: second@x\nTo: c@d\nto: e@f\nSubject:\nDate: Fri, 21 Nov 1997 09:55:06 -0600\n" +
		"Message-ID: <m@x>\nReferences: <r1@x> <r2@\n x>\nIn-Reply-To: <r3@x>\n\nx")))
	e := s.Envelope
	if len(e.From) != 1 || e.From[0].Mailbox != "a" {
		t.Errorf("From %+v", e.From)
	}
	if len(e.To) != 2 || e.To[1].Mailbox != "e" {
		t.Errorf("To %+v", e.To)
	}
	if !e.HasSubject || e.Subject != "" || e.MessageID != "<m@x>" || e.InReplyTo != "<r3@x>" || e.Time.Unix() != 880127706 {
		t.Errorf("envelope %+v", e)
	}
	if s.Received != 2 || !slices.Equal(s.References, []string{"r1@x", "r2@x", "r3@x"}) {
		t.Errorf("Received %d, References %q", s.Received, s.References)
	}
}

func TestPartFields(t *testing.T) {
	s := Parse([]byte(crlf("Content-Type: Image/PNG; name=x\nContent-Transfer-Encoding: BASE64 (really)\nContent-ID: <i@x>\nContent-Description: d  e\n" +
		"Content-MD5: Q2hlY2s=\nContent-Disposition: inline; filename=f\nContent-Language: de, en (x)\nContent-Location: http://x/\n\n")))
	got := s.Root
	got.HeaderStart, got.BodyStart, got.BodyEnd = 0, 0, 0
	want := Part{
		Type: "Image", Subtype: "PNG", Params: []Param{{"name", "x"}}, ID: "<i@x>", Description: "d  e", Encoding: "BASE64", MD5: "Q2hlY2s=",
		Disposition: "inline", DispParams: []Param{{"filename", "f"}}, Language: []string{"de", "en"}, Location: "http://x/",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		raw                    string
		bare, nul, eight, utf8 bool
	}{
		{"A: b\r\n\r\nc\r\n", false, false, false, false},
		{"A: b\r\n\r\nc\n", true, false, false, false},
		{"A: b\r\n\r\nc\r\r\n", true, false, false, false},
		{"A: b\r\n\r\n\n\r", true, false, false, false},
		{"A: b\r\n\r\nc\r", true, false, false, false},
		{"A: b\r\n\r\nc\x00\r\n", false, true, false, false},
		{"A: b\r\n\r\n" + strings.Repeat("c", 40) + "é", false, false, true, false},
		{"A: é\r\n\r\nc\r\n", false, false, false, true},
		{"text é without a header\r\n", false, false, true, false},
		{"Content-Type: message/rfc822\r\n\r\nA: é\r\n\r\nc", false, false, true, false},
	} {
		for _, s := range []*Summary{Parse([]byte(tt.raw)), parseChunks([]byte(tt.raw), 1)} {
			if s.BareLines != tt.bare || s.NUL != tt.nul || s.EightBit != tt.eight || s.UTF8Header != tt.utf8 {
				t.Errorf("%q: bare %v, NUL %v, 8-bit %v, UTF-8 %v", tt.raw, s.BareLines, s.NUL, s.EightBit, s.UTF8Header)
			}
		}
	}
}

func TestDecodeTransfer(t *testing.T) {
	for _, tt := range []struct{ encoding, raw, want string }{
		{"7bit", "a=20", "a=20"},
		{"X-unknown", "a=20", "a=20"},
		{"Quoted-Printable", "a=20b=C3=a9 =\r\nc \t\r\nd=  \r\ne\n", "a b\xc3\xa9 c\r\nde\n"},
		{"quoted-printable", "1+1=2, =zz =4\r\n==41 =", "1+1=2, =zz =4\r\n=A "},
		{"quoted-printable", "a \rb", "a \rb"},
		{"quoted-printable", "end =4", "end =4"},
		{"quoted-printable", "a =\nb", "a b"},
		{"BASE64", "aGVs\r\nbG8=\r\n", "hello"},
		{"base64", "aGVs*bG8", "hello"},
		{"base64", "aGk=aGk=", "hihi"},
		{"base64", "a", ""},
		{"base64", "AAEC\r\nAwQF", "\x00\x01\x02\x03\x04\x05"},
		{"base64", "YQ==YWI=", "aab"},
		{"base64", "Y W*I", "ab"},
		{"quoted-printable", "soft=\r\nbreak=  \t\r\n", "softbreak"},
		{"quoted-printable", "trail  \r\nend \t", "trail\r\nend"},
		{"quoted-printable", "x" + strings.Repeat(" ", 3000) + "y", "x" + strings.Repeat(" ", 3000) + "y"},
	} {
		got, err := io.ReadAll(DecodeTransfer(tt.encoding, strings.NewReader(tt.raw)))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s %q: got %q, want %q, %v", tt.encoding, tt.raw, got, tt.want, err)
		}
	}
}

func TestCharsets(t *testing.T) {
	for _, tt := range []struct{ charset, raw, want string }{
		{"", "é", "é"},
		{"", "\xe9", "é"},
		{"us-ascii", "\x80", "€"},
		{"utf-8", "a\xe9b", "a\uFFFDb"},
		{"iso-8859-15", "\xa4", "€"},
		{"cp1252", "\x80", "€"},
		{"cp-1251", "\xcf", "П"},
		{"GB2312", "\xc4\xe3", "你"},
		{"big5", "\xa7\x41", "你"},
		{"shift_jis", "\x82\xb1", "こ"},
		{"ibm437", "\x81", "ü"},
		{"utf-16be", "\x00a\x20\xac", "a€"},
		{"utf-7", "a", "a"}, // known to the index, but not to be decoded
		{"no-such-charset", "\xe9", "é"},
	} {
		if got := string(DecodeCharset(tt.charset, []byte(tt.raw))); got != tt.want {
			t.Errorf("DecodeCharset(%q, %q) = %q, want %q", tt.charset, tt.raw, got, tt.want)
		}
		got, err := io.ReadAll(CharsetReader(tt.charset, strings.NewReader(tt.raw)))
		if err != nil || string(got) != tt.want {
			t.Errorf("CharsetReader(%q, %q) = %q, %v, want %q", tt.charset, tt.raw, got, err, tt.want)
		}
	}
	long := strings.Repeat("grüße ", 5000)
	for _, text := range []string{long, "\xe9" + long, long + "\n\xe9"} {
		got, err := io.ReadAll(CharsetReader("", strings.NewReader(text)))
		if err != nil || !strings.Contains(string(got), "grüße grüße") || !strings.Contains(string(got), "é") == strings.Contains(text, "\xe9") {
			t.Errorf("long text: %.40q…, %v", got, err)
		}
	}
	for name, want := range map[string]bool{"utf-8": true, "US-ASCII": true, "koi8-r": true, "nonsense": false, "utf-7": false} {
		if KnownCharset(name) != want {
			t.Errorf("KnownCharset(%q) is %v", name, !want)
		}
	}
}

func TestFoldCase(t *testing.T) {
	for _, tt := range []struct{ a, b string }{
		{"ABC", "abc"}, {"Grüße", "GRÜßE"}, {"ΣΑΣ", "σας"}, {"ПРИВЕТ", "привет"}, {"\u212a", "k"}, {"ſ", "s"},
	} {
		if FoldCase(tt.a) != FoldCase(tt.b) {
			t.Errorf("%q and %q fold to %q and %q", tt.a, tt.b, FoldCase(tt.a), FoldCase(tt.b))
		}
	}
	if FoldCase("a") == FoldCase("b") || FoldCase("é") == FoldCase("e") {
		t.Error("different letters fold together")
	}
}
