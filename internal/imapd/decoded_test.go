package imapd

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
)

// large is a message with 500 KB in each of base64 (in ragged lines, padded in the
// middle, without NUL but in one place) and quoted-printable.
func large(t *testing.T) (msg, first, second string) {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 250_001)
	for i := range noise {
		noise[i] = byte(1 + rnd.IntN(255))
	}
	noise[200_000] = 0
	var b64, qp strings.Builder
	for range 2 {
		code := base64.StdEncoding.EncodeToString(noise)
		for len(code) > 0 {
			n := min(1+rnd.IntN(90), len(code))
			b64.WriteString(code[:n] + "\r\n")
			code = code[n:]
		}
	}
	w := quotedprintable.NewWriter(&qp)
	text := strings.Repeat("Blanks   \tand caf\u00e9s, a long line that has to be broken somewhere.\r\n", 4000)
	_, err := io.WriteString(w, text)
	must(t, err)
	must(t, w.Close())
	return "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64.String() +
		"\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + qp.String() + "\r\n--b--\r\n", strings.Repeat(string(noise), 2), text
}

// A part comes in pieces, from anywhere and in any order, as it comes whole.
func TestBinaryInPieces(t *testing.T) {
	msg, first, second := large(t)
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", msg)
	rnd := rand.New(rand.NewPCG(3, 4))
	for part, want := range map[string]string{"1": first, "2": second} {
		for range 40 {
			from := rnd.IntN(len(want) + 10)
			n := 1 + rnd.IntN(40_000)
			_, got := c.literal(fmt.Sprintf("BINARY[%s]<%d.%d>", part, from, n))
			if want := want[min(from, len(want)):min(from+n, len(want))]; got != want {
				t.Fatalf("part %s, %d bytes from %d: %d bytes differ", part, n, from, len(got))
			}
		}
		if _, got := c.literal("BINARY[" + part + "]"); got != want {
			t.Errorf("part %s differs: %d bytes, want %d", part, len(got), len(want))
		}
	}
	c.talk(fmt.Sprintf(`
		C: a FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2])
		S: * 1 FETCH (BINARY.SIZE[1] %d BINARY.SIZE[2] %d~)
		S: a OK ~
	`, len(first), len(second)))
	// A literal8 where there is a NUL (RFC 3516 section 4.2), and not far from it.
	c.talk(`
		C: a FETCH 1 BINARY.PEEK[1]<200000.1>
		S: * 1 FETCH (BINARY[1]<200000> ~{1}
	`)
	c.reply("a")
	c.send("b FETCH 1 BINARY.PEEK[1]<1.1>\r\n")
	if l := c.line(); l != "* 1 FETCH (BINARY[1]<1> {1}" {
		t.Errorf("%q", l)
	}
	c.reply("b")
}

// counted counts what is read.
type counted struct {
	io.ReaderAt
	n int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

// Who reads a part in small pieces has it decoded once to look at it, and from the
// mark before each piece.
func TestPiecesReadLittle(t *testing.T) {
	const size = 8 << 20
	code := strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", size/78)
	body := &counted{ReaderAt: strings.NewReader(code)}
	s := &session{ctx: t.Context()}
	d, err := newDecoded(s, partKey{1, 0, int64(len(code)), "BASE64"}, body)
	must(t, err)
	if body.n != int64(len(code)) {
		t.Errorf("%d bytes read to look at %d", body.n, len(code))
	}
	body.n = 0
	pieces := int64(0)
	for at := int64(0); at < d.size; at += 10_007 {
		x := extent{0, d.size, true}.part(uint64(at), 16)
		hasNUL, err := d.hasNUL(s, body, x)
		must(t, err)
		n := 0
		must(t, d.each(s, body, x, func(piece []byte) bool {
			n += len(piece)
			return strings.Trim(string(piece), "ABC") == ""
		}))
		if hasNUL || int64(n) != x.size() {
			t.Fatalf("at %d: %d bytes, NUL %v", at, n, hasNUL)
		}
		pieces++
	}
	if body.n > pieces*(minStretch+2*copySize) {
		t.Errorf("%d bytes read for each of %d pieces", body.n/pieces, pieces)
	}
	if len(d.marks) > maxMarks+1 {
		t.Errorf("%d marks", len(d.marks))
	}
}

// What is asked for twice is answered once; a BODY[] beside its PEEK sets \Seen.
func TestFetchAnswersOnce(t *testing.T) {
	c := newHouse(t).login("INBOX")
	c.appendMail("INBOX", "", nested)
	c.ok("SELECT INBOX") // \Recent no more
	c.talk(`
		C: a FETCH 1 (BINARY.SIZE[2] UID BINARY.SIZE[1] BINARY.SIZE[2] FLAGS UID)
		S: * 1 FETCH (UID 1 FLAGS () BINARY.SIZE[2] 6 BINARY.SIZE[1] 12)
		S: a OK ~
		C: b FETCH 1 (BODY.PEEK[2]<1.2> BODY[2]<1.2> BODY.PEEK[2]<1.3> BODY[2]<2.2>)
		S: * 1 FETCH (FLAGS (\Seen) BODY[2]<1> {2}
		S: AE BODY[2]<1> {3}
		S: AEC BODY[2]<2> {2}
		S: EC)
		S: b OK ~
	`)
}
