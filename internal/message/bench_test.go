package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"
)

// typicalHeader is what a message has that came a long way.
func typicalHeader(contentType string) string {
	var b strings.Builder
	for i := range 5 {
		fmt.Fprintf(&b, "Received: from mx%d.example.test (mx%d.example.test [192.0.2.%d])\r\n\tby mx.example.org (Posthouse) with ESMTPS id abc%d\r\n\tfor <bob@example.org>; Fri, 21 Nov 2025 09:55:06 -0600\r\n", i, i, i, i)
	}
	b.WriteString("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.test; s=s1;\r\n\th=from:to:subject:date; bh=" + strings.Repeat("a", 44) + ";\r\n\tb=" + strings.Repeat("b", 340) + "\r\n")
	b.WriteString("From: \"Alice Example\" <alice@example.test>\r\nTo: Bob <bob@example.org>, carol@example.org\r\nCc: Dan <dan@example.org>\r\n" +
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the post house\r\nDate: Fri, 21 Nov 2025 09:55:06 -0600\r\nMessage-ID: <1234567890.abcdef@example.test>\r\n" +
		"In-Reply-To: <0987654321@example.org>\r\nReferences: <1@example.org> <0987654321@example.org>\r\nMIME-Version: 1.0\r\n" + contentType + "\r\n\r\n")
	return b.String()
}

var benchMessages = []struct {
	name string
	raw  []byte
}{
	{"plain4K", []byte(typicalHeader("Content-Type: text/plain; charset=utf-8") + strings.Repeat("The quick brown fox jumps over the lazy dog, and so on and so forth it goes.\r\n", 50))},
	{"plain1M", []byte(typicalHeader("Content-Type: text/plain; charset=utf-8") + strings.Repeat("The quick brown fox jumps over the lazy dog, and so on and so forth it goes.\r\n", 13000))},
	{"alternative10K", []byte(typicalHeader("Content-Type: multipart/alternative; boundary=\"=_b1\"") +
		"--=_b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("Some text that goes on.\r\n", 100) +
		"--=_b1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("<p class=3D\"x\">Some text - that -- goes on.</p>\r\n", 100) + "--=_b1--\r\n")},
	{"attachment1M", []byte(typicalHeader("Content-Type: multipart/mixed; boundary=b") + "--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1, 2, 250}, 19))+"\r\n", 13000) + "--b--\r\n")},
}

func BenchmarkParse(b *testing.B) {
	for _, m := range benchMessages {
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.raw)))
			b.ReportAllocs()
			for b.Loop() {
				Parse(m.raw)
			}
		})
	}
}

// BenchmarkNetMail reads header and body with the standard library, which finds
// no structure and counts nothing.
func BenchmarkNetMail(b *testing.B) {
	for _, m := range benchMessages {
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.raw)))
			b.ReportAllocs()
			for b.Loop() {
				msg, err := mail.ReadMessage(bytes.NewReader(m.raw))
				if err != nil {
					b.Fatal(err)
				}
				for _, name := range []string{"From", "To", "Cc"} {
					msg.Header.AddressList(name)
				}
				msg.Header.Date()
				io.Copy(io.Discard, msg.Body)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	s := Parse(benchMessages[0].raw)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = s.AppendBinary(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkDecode(b *testing.B) {
	for _, i := range []int{0, 2} {
		enc := Parse(benchMessages[i].raw).AppendBinary(nil)
		b.Run(benchMessages[i].name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeSummary(enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPartText(b *testing.B) {
	for _, encoding := range []string{"7bit", "quoted-printable", "base64"} {
		b.Run(encoding, func(b *testing.B) {
			body := strings.Repeat("VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw0KVGhlIHF1aWNr\r\n", 1000)
			p := &Part{Encoding: encoding, Params: []Param{{"charset", "utf-8"}}}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				io.Copy(io.Discard, PartText(p, strings.NewReader(body)))
			}
		})
	}
}
