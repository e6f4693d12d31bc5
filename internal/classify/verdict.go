// Package classify tells what a remote server's reply means: what it is about,
// whose fault it is and what to do. The knowledge is a table of rules in TOML,
// each with real replies that its test replays; a text that no rule knows is
// judged by its enhanced code, then by its code. The package is pure: no
// connections, no clock.
package classify

import (
	"slices"
	"time"
)

// Verdict is what a reply, or a failure without one, means.
type Verdict struct {
	Class  Class         `json:"class"`
	Scope  Scope         `json:"scope,omitempty"`
	Action Action        `json:"action"`
	Pause  time.Duration `json:"pause,omitempty"` // with StopSite: for how long; 0 otherwise
	Rule   string        `json:"rule,omitempty"`  // the name of the rule that decided; "" when none did
	Hint   string        `json:"hint,omitempty"`  // for the sender, in plain words: what to do next
}

// IsZero reports whether nothing was decided, as for mail that was taken.
func (v *Verdict) IsZero() bool { return v.Action == "" }

// Final reports whether the message is not to be tried again for this recipient.
func (v *Verdict) Final() bool { return v.Action == Bounce || v.Action == Suppress }

// Action is what to do.
type Action string

// The actions.
const (
	Retry          Action = "retry"           // later, by the usual schedule
	RetryElsewhere Action = "retry-elsewhere" // another host of the destination may take it now
	StopSite       Action = "stop-site"       // later; and nothing more to this destination for Verdict.Pause
	Bounce         Action = "bounce"          // return it to the sender
	Suppress       Action = "suppress"        // return it, and remember that the address takes no mail
)

// Scope is what a reply is about: where something must change.
type Scope string

// The scopes.
const (
	Recipient       Scope = "recipient"
	RecipientDomain Scope = "recipient-domain"
	Content         Scope = "content"
	SenderDomain    Scope = "sender-domain"
	SourceAddress   Scope = "source-address"
	Policy          Scope = "policy"
	Network         Scope = "network"
)

// Stage is the point of an SMTP dialogue.
type Stage string

// The stages, in their order. The reply to Data is the one to the command,
// that to EndOfData the one to the message.
const (
	StageConnect   Stage = "connect"
	StageGreeting  Stage = "greeting"
	StageEHLO      Stage = "ehlo"
	StageTLS       Stage = "starttls"
	StageAuth      Stage = "auth"
	StageMail      Stage = "mail"
	StageRcpt      Stage = "rcpt"
	StageData      Stage = "data"
	StageEndOfData Stage = "end-of-data"
)

var stages = []Stage{StageConnect, StageGreeting, StageEHLO, StageTLS, StageAuth, StageMail, StageRcpt, StageData, StageEndOfData}

// Valid reports whether there is such a stage.
func (s Stage) Valid() bool { return slices.Contains(stages, s) }

// aboutSession reports whether a reply at this stage speaks of the server, of us
// or of the moment, and not of a message.
func (s Stage) aboutSession() bool {
	switch s {
	case StageConnect, StageGreeting, StageEHLO, StageTLS, StageAuth:
		return true
	}
	return false
}
