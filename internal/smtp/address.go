// Package smtp is what smtpd and the courier share: addresses and paths,
// replies, and the grammar of commands (RFC 5321). It does no I/O.
package smtp

// Address is a mailbox of RFC 5321 section 4.1.2. The zero value stands for the
// null reverse-path "<>".
type Address struct {
	Local  string // unquoted local part, as given
	Domain string // as given: A-labels, U-labels or an address literal with its brackets
}

// IsZero reports whether this is the null reverse-path.
func (a Address) IsZero() bool { return a == Address{} }
