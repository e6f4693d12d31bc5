package config

import (
	"fmt"
	"io"
	"strings"
)

// Write writes c as a file for people: the keys that a new host needs, each with
// a comment. Other keys that differ from the default are not written.
func Write(w io.Writer, c *Config) error {
	f := file{}
	f.line("# Posthouse. Every key that is not here has a sensible default.")
	f.line("# A name given in the environment wins: POSTHOUSE_LISTEN_SMTP=127.0.0.1:2525")
	f.line("")
	f.key("hostname", c.Hostname, "the name in the greeting and in HELO")
	f.key("data", c.Data, "everything the house keeps")
	if c.User != "" {
		f.key("user", c.User, "whom to become after binding the ports")
	}
	f.line("")
	f.line("[listen]  # empty or absent = not offered")
	f.list("smtp", c.Listen.SMTP, "mail from other servers (MX)")
	f.list("submission", c.Listen.Submission, "mail from our users, STARTTLS")
	f.list("submissions", c.Listen.Submissions, "mail from our users, TLS")
	f.list("lmtp", c.Listen.LMTP, "mail from other servers of this site")
	f.list("imap", c.Listen.IMAP, "mailboxes, STARTTLS")
	f.list("imaps", c.Listen.IMAPS, "mailboxes, TLS")
	f.list("pop3", c.Listen.POP3, "INBOX, STLS")
	f.list("pop3s", c.Listen.POP3S, "INBOX, TLS")
	f.list("http", c.Listen.HTTP, "admin API, metrics, health")
	f.list("https", c.Listen.HTTPS, "the same with TLS")
	f.line("")
	f.line("[tls]")
	f.key("mode", c.TLS.Mode, `"acme", "files" or "self-signed"`)
	if c.TLS.Mode == ModeFiles || c.TLS.Cert != "" {
		f.key("cert", c.TLS.Cert, "certificate chain, PEM")
		f.key("key", c.TLS.Key, "private key, PEM")
	}
	if c.TLS.ACMEEmail != "" {
		f.key("acme_email", c.TLS.ACMEEmail, "whom the authority may write to")
	}
	_, err := io.WriteString(w, f.String())
	return err
}

// file collects lines with their comments in one column.
type file struct{ strings.Builder }

func (f *file) line(s string) { fmt.Fprintln(f, s) }

func (f *file) key(name, value, comment string) { f.commented(name+" = "+quote(value), comment) }

// list leaves out services that are not offered.
func (f *file) list(name string, values []string, comment string) {
	if len(values) == 0 {
		return
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	f.commented(name+" = ["+strings.Join(quoted, ", ")+"]", comment)
}

func (f *file) commented(text, comment string) { fmt.Fprintf(f, "%-40s # %s\n", text, comment) }

// quote is a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
