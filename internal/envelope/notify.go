package envelope

import (
	"slices"
	"strings"
)

// The words of NOTIFY (RFC 3461 section 4.1).
const (
	NotifyNever   = "NEVER"
	NotifySuccess = "SUCCESS"
	NotifyFailure = "FAILURE"
	NotifyDelay   = "DELAY"
)

// Notifies reports whether the sender wants to be told of what: one of the words
// above. Without NOTIFY that is failures and delays (RFC 3461 section 5.2).
func (r *Rcpt) Notifies(what string) bool {
	if r.Notify == "" {
		return what == NotifyFailure || what == NotifyDelay
	}
	return slices.ContainsFunc(r.notifyWords(), func(w string) bool { return strings.EqualFold(w, what) })
}

// WithoutSuccess is r for the members of an alias: each is told of as asked,
// but for success, of which the alias itself has told (RFC 3461 section 5.2.7.3).
func (r Rcpt) WithoutSuccess() Rcpt {
	if !r.Notifies(NotifySuccess) {
		return r
	}
	words := slices.DeleteFunc(r.notifyWords(), func(w string) bool { return strings.EqualFold(w, NotifySuccess) })
	if r.Notify = strings.Join(words, ","); r.Notify == "" {
		// Nothing is not the same as no word at all.
		r.Notify = NotifyNever
	}
	return r
}

func (r *Rcpt) notifyWords() []string {
	words := strings.Split(r.Notify, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}
