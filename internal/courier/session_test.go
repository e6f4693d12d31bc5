package courier

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
)

// peerSession is a connection to a peer.
type peerSession struct {
	p      *peer
	c      net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	secure bool
	mail   bool // MAIL was said
	m      got  // the message so far
}

func (s *peerSession) serve() {
	greeting := s.p.greeting
	if greeting == "" {
		greeting = "220 peer.example"
	}
	s.say(greeting)
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.p.note(line)
		verb := strings.ToUpper(line)
		if reply, ok := s.p.answer(verb); ok {
			if !s.reply(reply) {
				return
			}
		} else if !s.command(verb, line) {
			return
		}
	}
}

// say answers, at once unless more commands have come.
func (s *peerSession) say(text string) {
	io.WriteString(s.w, text+"\r\n")
	if s.r.Buffered() == 0 {
		s.w.Flush()
	}
}

// reply says what a test has set; false ends the session.
func (s *peerSession) reply(text string) bool {
	if text == "hangup" {
		s.w.Flush()
		return false
	}
	s.say(text)
	return true
}

// command does one; false ends the session.
func (s *peerSession) command(verb, line string) bool {
	word, _, _ := strings.Cut(verb, " ")
	switch word {
	case "EHLO":
		s.hello()
	case "HELO":
		s.say("250 peer.example")
	case "STARTTLS":
		return s.startTLS()
	case "MAIL":
		if s.mail {
			s.say("503 5.5.1 nested MAIL")
			break
		}
		s.mail, s.m.from = true, line[len("MAIL FROM:"):]
		s.say("250 2.1.0 ok")
	case "RCPT":
		s.rcpt(line[len("RCPT TO:"):])
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(strings.Fields(verb)[1])
	case "RSET":
		s.m, s.mail = got{}, false
		s.say("250 2.0.0 ok")
	case "AUTH":
		s.auth(verb)
	case "QUIT":
		s.say("221 bye")
		s.w.Flush()
		return false
	default:
		s.say("500 5.5.2 what?")
	}
	return true
}

func (s *peerSession) hello() {
	lines := append([]string{"peer.example"}, s.p.ext...)
	if (s.p.tls != nil || s.p.badTLS) && !s.secure {
		lines = append(lines, "STARTTLS")
	}
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		s.say("250" + sep + l)
	}
}

func (s *peerSession) startTLS() bool {
	s.say("220 go ahead")
	s.w.Flush()
	if s.p.badTLS {
		io.WriteString(s.c, "this is no handshake\r\n")
		io.Copy(io.Discard, s.r) // closed over unread input it would be reset
		return false
	}
	tc := tls.Server(s.c, s.p.tls)
	if tc.Handshake() != nil {
		return false
	}
	s.secure = true
	s.r.Reset(tc)
	s.w.Reset(tc)
	return true
}

func (s *peerSession) rcpt(to string) {
	reply := "250 2.1.5 ok"
	if s.p.rcpt != nil {
		reply = s.p.rcpt(to)
	}
	if reply[0] == '2' {
		s.m.rcpts = append(s.m.rcpts, to)
	}
	s.say(reply)
}

func (s *peerSession) data() bool {
	if len(s.m.rcpts) == 0 {
		s.say("554 5.5.1 no valid recipients")
		return true
	}
	if s.p.atData != nil {
		if reply := s.p.atData(&s.m); reply != "" {
			s.say(reply)
			return true
		}
	}
	s.say("354 go on")
	s.w.Flush()
	if s.p.hangData {
		s.r.ReadString('\n')
		io.WriteString(s.c, s.p.lastWords)
		s.c.(*net.TCPConn).CloseWrite()
		io.CopyN(io.Discard, s.r, 1<<20)
		return false
	}
	content, err := readData(s.r)
	return err == nil && s.finish(content)
}

func (s *peerSession) bdat(size string) bool {
	n, _ := strconv.Atoi(size)
	content := make([]byte, n)
	if _, err := io.ReadFull(s.r, content); err != nil {
		return false
	}
	if len(s.m.rcpts) == 0 {
		s.say("554 5.5.1 no valid recipients")
		return true
	}
	return s.finish(string(content))
}

// finish answers the content, after what is due before has left. What is taken is on
// record before it is confirmed.
func (s *peerSession) finish(content string) bool {
	s.w.Flush()
	s.m.data, s.m.tls = content, s.secure
	reply := s.p.take(&s.m)
	s.m, s.mail = got{}, false
	return s.reply(reply)
}

func (s *peerSession) auth(verb string) {
	if verb == "AUTH LOGIN" {
		for _, prompt := range []string{"VXNlcm5hbWU6", "UGFzc3dvcmQ6"} {
			s.say("334 " + prompt)
			answer, _ := s.r.ReadString('\n')
			s.p.note(strings.TrimSpace(answer))
		}
	}
	s.say("235 2.7.0 welcome")
}

// readData reads to CRLF.CRLF and undoes the stuffing, in the simplest way.
func readData(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		start := b.Len() == 0 || strings.HasSuffix(b.String(), "\r\n")
		if start && line == ".\r\n" {
			return b.String(), nil
		}
		if start && strings.HasPrefix(line, ".") {
			line = line[1:]
		}
		b.WriteString(line)
	}
}
