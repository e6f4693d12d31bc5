package message

import (
	"strings"
	"testing"
)

func TestDowngrade(t *testing.T) {
	for in, want := range map[string]string{
		"Subject: plain\r\n\r\n":                                                   "Subject: plain\r\n\r\n",
		"Subject: Grüße\r\n\r\n":                                                   "Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\n",
		"SUBJECT: Gr\xfc\xdfe\r\n\r\n":                                             "SUBJECT: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\n",
		"A: one\r\n two\r\nSubject: ü\r\nB:  x \r\n\r\n":                           "A: one\r\n two\r\nSubject: =?utf-8?b?w7w=?=\r\nB:  x \r\n\r\n",
		"From: Jürgen <j@x.test>\r\n\r\n":                                          "From: =?utf-8?q?J=C3=BCrgen?= <j@x.test>\r\n\r\n",
		"From: \"Jürgen, der\" <j@x.test>, a@x.test\r\n\r\n":                       "From: =?utf-8?b?SsO8cmdlbiwgZGVy?= <j@x.test>, a@x.test\r\n\r\n",
		"To: Jo <jürgen@x.test>\r\n\r\n":                                           "To: Jo <invalid@internationalized-address.invalid>\r\n\r\n",
		"To: ü@x.test\r\n\r\n":                                                     "To: =?utf-8?b?w7xAeC50ZXN0?= <invalid@internationalized-address.invalid>\r\n\r\n",
		"To: a@grün.test\r\n\r\n":                                                  "To: =?utf-8?b?YUBncsO8bi50ZXN0?= <invalid@internationalized-address.invalid>\r\n\r\n",
		"Cc: Frühstück: a@x.test, ü <b@x.test>;, c@x.test\r\n\r\n":                 "Cc: =?utf-8?b?RnLDvGhzdMO8Y2s=?=: a@x.test, =?utf-8?b?w7w=?= <b@x.test>;,\r\n c@x.test\r\n\r\n",
		"Content-Type: text/plain; charset=utf-8; name=\"ü.txt\"\r\n\r\n":          "Content-Type: text/plain; charset=utf-8; name*=utf-8''%C3%BC.txt\r\n\r\n",
		"Content-Type: téxt/plain\r\nA: b\r\n\r\n":                                 "A: b\r\n\r\n",
		"Received: from ü\r\n\tby x\r\nDKIM-Signature: i=ü@x.test\r\nA: b\r\n\r\n": "A: b\r\n\r\n",
		"From ü@x.test today\r\nA: b\r\n\r\n":                                      "A: b\r\n\r\n",
		"ü\r\n\r\n":                                                                "\r\n",
	} {
		if got := string(Downgrade(Header(in))); got != want {
			t.Errorf("%q\nhave %q\nwant %q", in, got, want)
		}
	}
}

func FuzzDowngrade(f *testing.F) {
	for _, s := range []string{"Subject: ü\r\n\r\n", "To: ü: a@ü.test, \"ü\" <b@c>;\r\n\r\n", "Content-Type: a/b; ü=x; c=ü\r\n", "ü\r\n: \xff\r\n \xff", "From: \xff\xfe <a@b> (\xff)\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := Header(b[:HeaderEnd(b)])
		out := Downgrade(h)
		if !out.IsASCII() {
			t.Fatalf("%q is not ASCII", out)
		}
		if h.IsASCII() && string(out) != string(h) {
			t.Fatalf("%q became %q", h, out)
		}
		if end := HeaderEnd(out); end != len(out) {
			t.Fatalf("%q ends at %d", out, end)
		}
		if got := string(Downgrade(out)); got != string(out) {
			t.Fatalf("again: %q became %q", out, got)
		}
		if strings.HasSuffix(string(h), "\n\r\n") && !strings.HasSuffix(string(out), "\n") {
			t.Fatalf("%q lost its end: %q", h, out)
		}
	})
}
