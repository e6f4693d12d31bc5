package imapd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// This file is the stress test's own reader of responses. It shares nothing with
// package imap: a mistake there must not hide itself here.

// node is a value of a response: an atom, a string, NIL or a list.
type node struct {
	text   string
	list   []node
	isList bool
}

// reply is one response: a tag or "*", a number or 0, a word, and the rest, as
// values for data and as text for states.
type reply struct {
	raw, tag, word, text string
	num                  uint32
	args                 []node
}

// wirePeer is a connection that keeps the end of its dialogue for the failure's report.
type wirePeer struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
	past []string
}

// peerPatience is for the slowest of machines; who waits that long waits for ever.
const peerPatience = 5 * time.Minute

func dialPeer(t testing.TB, addr string) *wirePeer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	p := &wirePeer{conn: conn, r: bufio.NewReader(conn)}
	if r, err := p.read(); err != nil || r.word != "OK" {
		t.Fatalf("greeting: %q, %v", r.raw, err)
	}
	return p
}

func (p *wirePeer) remember(who, line string) {
	if p.past = append(p.past, who+line); len(p.past) > 120 {
		p.past = slices.Delete(p.past, 0, 40)
	}
}

// send gives a command, with the literal that ends it or "", and gives its tag.
func (p *wirePeer) send(command, literal string) (string, error) {
	p.tag++
	tag := "c" + strconv.Itoa(p.tag)
	line := tag + " " + command
	p.remember("C: ", line)
	if literal != "" {
		line += fmt.Sprintf(" {%d+}\r\n%s", len(literal), literal)
	}
	p.conn.SetDeadline(time.Now().Add(peerPatience))
	_, err := io.WriteString(p.conn, line+"\r\n")
	return tag, err
}

// read reads a response with its literals.
func (p *wirePeer) read() (reply, error) {
	var raw strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return reply{}, err
		}
		if !strings.HasSuffix(line, "\r\n") {
			return reply{}, fmt.Errorf("a line does not end with CRLF: %q", line)
		}
		raw.WriteString(line)
		line = strings.TrimSuffix(line, "\r\n")
		at := strings.LastIndexByte(line, '{')
		if at < 0 || !strings.HasSuffix(line, "}") {
			break
		}
		n, err := strconv.Atoi(line[at+1 : len(line)-1])
		if err != nil {
			break
		}
		if _, err := io.CopyN(&raw, p.r, int64(n)); err != nil {
			return reply{}, err
		}
	}
	text := strings.TrimSuffix(raw.String(), "\r\n")
	p.remember("S: ", text)
	return parseReply(text)
}

func parseReply(raw string) (reply, error) {
	r := reply{raw: raw}
	tag, rest, _ := strings.Cut(raw, " ")
	r.tag = tag
	if tag == "+" {
		return r, nil
	}
	word, more, _ := strings.Cut(rest, " ")
	if n, err := strconv.ParseUint(word, 10, 32); err == nil && tag == "*" {
		r.num = uint32(n)
		word, more, _ = strings.Cut(more, " ")
	}
	r.word, r.text = strings.ToUpper(word), more
	switch r.word {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return r, nil
	}
	var err error
	v := valueReader{s: more}
	for err == nil && v.s != "" {
		var n node
		if n, err = v.value(); err == nil {
			r.args = append(r.args, n)
			err = v.between("")
		}
	}
	if err != nil {
		err = fmt.Errorf("%w in %q", err, raw)
	}
	return r, err
}

// valueReader reads values from the front of s.
type valueReader struct{ s string }

// between eats one space, or sees one of the ends.
func (v *valueReader) between(ends string) error {
	switch {
	case v.s == "" || strings.ContainsRune(ends, rune(v.s[0])):
		return nil
	case v.s[0] == ' ' && len(v.s) > 1 && v.s[1] != ' ':
		v.s = v.s[1:]
		return nil
	case v.s[0] == '(': // body structures join their parts without a space
		return nil
	}
	return fmt.Errorf("bad separation at %q", v.s)
}

func (v *valueReader) value() (node, error) {
	switch {
	case v.s == "":
		return node{}, io.ErrUnexpectedEOF
	case v.s[0] == '(':
		return v.listValue()
	case v.s[0] == '"':
		return v.quotedValue()
	case v.s[0] == '{':
		head, rest, ok := strings.Cut(v.s[1:], "}\r\n")
		n, err := strconv.Atoi(head)
		if !ok || err != nil || n > len(rest) {
			return node{}, fmt.Errorf("bad literal at %q", v.s)
		}
		v.s = rest[n:]
		return node{text: rest[:n]}, nil
	}
	return v.atomValue()
}

func (v *valueReader) listValue() (node, error) {
	n := node{isList: true}
	v.s = v.s[1:]
	for {
		if v.s == "" {
			return n, io.ErrUnexpectedEOF
		}
		if v.s[0] == ')' {
			v.s = v.s[1:]
			return n, nil
		}
		x, err := v.value()
		if err == nil {
			n.list = append(n.list, x)
			err = v.between(")")
		}
		if err != nil {
			return n, err
		}
	}
}

func (v *valueReader) quotedValue() (node, error) {
	var b strings.Builder
	for i := 1; i < len(v.s); i++ {
		switch v.s[i] {
		case '"':
			v.s = v.s[i+1:]
			return node{text: b.String()}, nil
		case '\\':
			i++
			if i == len(v.s) {
				return node{}, io.ErrUnexpectedEOF
			}
		}
		b.WriteByte(v.s[i])
	}
	return node{}, io.ErrUnexpectedEOF
}

// atomValue reads an atom; brackets, as in BODY[HEADER.FIELDS (TO)], belong to it.
func (v *valueReader) atomValue() (node, error) {
	depth, i := 0, 0
	for ; i < len(v.s); i++ {
		c := v.s[i]
		if c == '[' {
			depth++
		} else if c == ']' {
			depth--
		} else if depth == 0 && strings.IndexByte(` ()"{`, c) >= 0 {
			break
		}
	}
	if i == 0 || depth != 0 {
		return node{}, fmt.Errorf("bad atom at %q", v.s)
	}
	n := node{text: v.s[:i]}
	v.s = v.s[i:]
	return n, nil
}

// code is the response code of a state response, and what follows its name.
func (r *reply) code() (name, rest string) {
	if !strings.HasPrefix(r.text, "[") {
		return "", ""
	}
	in, _, _ := strings.Cut(r.text[1:], "]")
	name, rest, _ = strings.Cut(in, " ")
	return strings.ToUpper(name), rest
}

// expand gives the numbers of a sequence set without "*".
func expand(set string) (out []uint32) {
	for _, r := range strings.Split(set, ",") {
		a, b, two := strings.Cut(r, ":")
		if !two {
			b = a
		}
		from, err1 := strconv.ParseUint(a, 10, 32)
		to, err2 := strconv.ParseUint(b, 10, 32)
		if err1 != nil || err2 != nil {
			return nil
		}
		for n := min(from, to); n <= max(from, to); n++ {
			out = append(out, uint32(n))
		}
	}
	return out
}
