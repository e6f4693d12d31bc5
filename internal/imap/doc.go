// Package imap is the grammar of IMAP4rev2 (RFC 9051) and IMAP4rev1 (RFC 3501)
// with their extensions: it parses complete commands and writes responses. It
// is pure: no I/O, no clock, no session.
//
// A command is parsed from one byte slice that holds its lines and literals as
// they came over the wire, without the final CRLF. Whoever reads the
// connection finds literals at line ends with LiteralAtEnd.
package imap
