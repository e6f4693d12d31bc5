package message

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
)

// bodyEncoder returns a writer that encodes a body. Close ends the body, not w.
func bodyEncoder(encoding string, w *bufio.Writer) (io.WriteCloser, error) {
	switch encoding {
	case "", "7bit", "8bit":
		return &lineWriter{w: w}, nil
	case "quoted-printable":
		return quotedprintable.NewWriter(w), nil
	case "base64":
		lines := &base64Lines{w: w}
		return closers{base64.NewEncoder(base64.StdEncoding, lines)}, nil
	}
	return nil, errors.New("message: cannot encode as " + encoding)
}

// closers hides all but Write and Close, so that io.Copy uses them.
type closers struct{ io.WriteCloser }

// lineWriter makes every line end CRLF and breaks lines that are too long.
type lineWriter struct {
	w      *bufio.Writer
	column int
	cr     bool // a CR was the last byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			l.end()
			l.cr = false
			continue
		case l.cr: // a bare CR ends a line too
			l.end()
			l.cr = false
		}
		if c == '\r' {
			l.cr = true
			continue
		}
		if l.column == maxLine {
			l.end()
		}
		if err := l.w.WriteByte(c); err != nil {
			return 0, err
		}
		l.column++
	}
	return len(p), nil
}

func (l *lineWriter) end() {
	l.w.WriteString("\r\n")
	l.column = 0
}

// Close writes a CR that was held back as a line end.
func (l *lineWriter) Close() error {
	if l.cr {
		l.end()
	}
	return nil
}

// base64Lines breaks its input into lines of 76 (RFC 2045 section 6.8).
type base64Lines struct {
	w      *bufio.Writer
	column int
}

func (l *base64Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if l.column == 76 {
			l.w.WriteString("\r\n")
			l.column = 0
		}
		k := min(76-l.column, len(p))
		if _, err := l.w.Write(p[:k]); err != nil {
			return 0, err
		}
		l.column += k
		p = p[k:]
	}
	return n, nil
}
