// Package status is the one error type that travels between the floors of the
// house: an SMTP reply code, an enhanced status code (RFC 3463), a text that a
// stranger may read, and the cause, which only the log may see. Doors translate
// it into their protocol's own words.
package status

import (
	"errors"
	"fmt"
)

// Enhanced is an RFC 3463 enhanced status code. The zero value is none.
type Enhanced struct{ Class, Subject, Detail uint16 }

// String is the code's usual form, "5.1.1".
func (e Enhanced) String() string { return fmt.Sprintf("%d.%d.%d", e.Class, e.Subject, e.Detail) }

// IsZero reports whether there is no code.
func (e Enhanced) IsZero() bool { return e == Enhanced{} }

// Error is a refusal or a failure.
type Error struct {
	Code     int      // SMTP reply code, 400..599
	Enhanced Enhanced // class agrees with Code
	Text     string   // safe to show to anyone; one line
	Cause    error    // for the log only; may be nil
}

// New makes an error from its parts; enhanced is subject and detail, the class
// follows from code.
func New(code int, subject, detail uint16, text string) *Error {
	return &Error{Code: code, Enhanced: Enhanced{uint16(code / 100), subject, detail}, Text: text}
}

// Wrap is New with a cause.
func Wrap(cause error, code int, subject, detail uint16, text string) *Error {
	e := New(code, subject, detail, text)
	e.Cause = cause
	return e
}

// Internal is the answer for a fault of ours: 451 4.3.0, try again.
func Internal(cause error) *Error {
	return Wrap(cause, 451, 3, 0, "Local error in processing, try again later")
}

// Error is the text for logs, with the cause.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d %s %s", e.Code, e.Enhanced, e.Text)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Temporary reports whether trying again may help (a 4yz code, RFC 5321 section 4.2.1).
func (e *Error) Temporary() bool { return e.Code < 500 }

// Of finds the *Error in err's chain; any other error becomes Internal(err).
// nil stays nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}
