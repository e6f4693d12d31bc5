package classify

import "testing"

// Replies that are no rule's sample, as servers on the way say them: the words
// and codes must carry beyond what the rules were written from.
func TestUnseen(t *testing.T) {
	table := standard(t)
	for _, tt := range []struct {
		reply  string
		class  Class
		action Action
	}{
		{"rcpt 550 5.1.1 <joe@x.example>: Recipient address rejected: User unknown in virtual alias table", BadMailbox, Suppress},
		{"rcpt 550 5.1.1 unknown or illegal alias: joe@x.example", BadMailbox, Suppress},
		{"rcpt 550 No such recipient here", BadMailbox, Suppress},
		{"rcpt 553 5.3.0 <joe@x.example>... No such user here", BadMailbox, Suppress},
		{"rcpt 550 Address unknown", BadMailbox, Suppress},
		{"rcpt 550 #5.1.0 Address rejected joe@x.example", BadMailbox, Bounce},
		{"rcpt 550 5.4.1 All recipient addresses rejected : Access denied", PolicyRefused, Bounce},
		{"rcpt 550 5.7.1 <joe@x.example>: Recipient address rejected: Mailbox is inactive", InactiveMailbox, Suppress},
		{"rcpt 550 5.2.1 The email account has been suspended for violation of terms", InactiveMailbox, Suppress},
		{"rcpt 452 4.2.2 Mailbox full", MailboxFull, Retry},
		{"rcpt 552 5.2.2 This message is larger than the current system limit or the recipient's mailbox is full", MailboxFull, Bounce},
		{"rcpt 422 The recipient's mailbox is over its storage limit", MailboxFull, Retry},
		{"end-of-data 552 5.3.4 Message size exceeds file system imposed limit", MessageTooBig, Bounce},
		{"mail 552 5.2.3 Message is too large. Maximum 35 MB", MessageTooBig, Bounce},
		{"rcpt 450 4.7.1 <joe@x.example>: Recipient address rejected: Greylisting enabled, try again in 5 minutes", Greylisted, Retry},
		{"rcpt 451 4.3.2 Please try again later - greylisted (postgrey)", Greylisted, Retry},
		{"rcpt 451 Graylisted - please try again later", Greylisted, Retry},
		{"greeting 421 4.7.1 too many simultaneous connections from 192.0.2.7", TooManyConnections, StopSite},
		{"greeting 421 Maximum connections reached, try later", TooManyConnections, StopSite},
		{"rcpt 450 4.2.1 mailbox temporarily over message rate limit", RateLimited, Retry},
		{"rcpt 450 4.2.1 <joe@x.example>: too many messages for this recipient", RateLimited, Retry},
		{"mail 421 4.7.0 Sending rate limit exceeded, try in an hour", RateLimited, StopSite},
		{"mail 451 Too many emails from your host, please slow down", RateLimited, StopSite},
		{"rcpt 452 4.5.3 Recipients belong to multiple regions; too many recipients", TooManyRecipients, Retry},
		{"rcpt 554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using bl.example.org; see https://bl.example.org/192.0.2.7", Reputation, Bounce},
		{"rcpt 450 4.7.1 Client host [192.0.2.7] blocked using dnsbl.example.org", Reputation, StopSite},
		{"greeting 554 Your IP is on our block list", Reputation, RetryElsewhere},
		{"end-of-data 550 5.7.1 Message rejected due to content (phishing)", Spam, Bounce},
		{"end-of-data 554 5.7.1 This email is considered spam. Score 12.1", Spam, Bounce},
		{"end-of-data 550 5.7.1 Virus found in attachment: Win32.Foo", Virus, Bounce},
		{"end-of-data 552 5.7.0 Our system detected an illegal attachment on your message", ContentRejected, Bounce},
		{"end-of-data 550 5.7.1 DMARC validation failed", Authentication, Bounce},
		{"end-of-data 550 5.7.26 Email rejected per DMARC policy", Authentication, Bounce},
		{"rcpt 550 5.7.1 SPF check failed for 192.0.2.7", Authentication, Bounce},
		{"rcpt 450 4.7.1 Client host rejected: cannot find your reverse hostname", Authentication, Retry},
		{"rcpt 554 5.7.1 <joe@x.example>: Recipient address rejected: Relaying is prohibited", RelayDenied, Bounce},
		{"rcpt 550 5.7.1 We do not relay for that domain", RelayDenied, Bounce},
		{"mail 553 5.1.8 <a@nowhere.example>... Sender domain must exist", BadSender, Bounce},
		{"rcpt 450 4.1.8 <a@nowhere.example>: Sender address rejected: Domain not found", BadSender, Retry},
		{"rcpt 550 5.1.2 Host unknown (Name server: x.example: host not found)", BadDomain, Bounce},
		{"end-of-data 554 5.4.6 Too many hops 27 (25 max)", Routing, Bounce},
		{"mail 530 5.7.0 Must issue STARTTLS first", TLS, Bounce},
		{"mail 550 5.7.1 TLS required by recipient domain", TLS, Bounce},
		{"rcpt 451 4.3.0 Error: queue file write error", System, RetryElsewhere},
		{"end-of-data 451 4.3.0 Message rejected temporarily, backend unreachable", System, RetryElsewhere},
		{"end-of-data 451 4.7.1 Service temporarily unavailable", System, RetryElsewhere},
		{"data 503 5.5.1 Bad sequence of commands", Protocol, Bounce},
		{"rcpt 501 5.1.3 Bad recipient address syntax", BadMailbox, Suppress},
		{"end-of-data 550 5.6.0 Lone CR or LF in body", ContentRejected, Bounce},
		{"rcpt 550 5.7.133 Sender not authenticated for group", PolicyRefused, Bounce},
		{"rcpt 535 5.7.8 Authentication credentials invalid", Login, Bounce},
		{"rcpt 550 Blocked by recipient policy", PolicyRefused, Bounce},
		// A house of ours.
		{"greeting 421 4.7.0 Too many connections, try again later", TooManyConnections, StopSite},
		{"greeting 421 4.7.0 Too many connections from your network, try again later", TooManyConnections, StopSite},
		{"greeting 421 4.7.0 Your address connects too often, try again in a minute", RateLimited, StopSite},
		{"mail 421 4.7.0 Too many commands in one session", RateLimited, Retry},
		{"rcpt 421 4.7.0 Too many unknown recipients", RateLimited, Retry},
		{"rcpt 421 4.7.0 Too many errors", RateLimited, Retry},
		{"rcpt 451 4.7.1 Greylisted: come again in 300 seconds", Greylisted, Retry},
		{"rcpt 550 5.1.1 No such user here", BadMailbox, Suppress},
		{"rcpt 452 4.2.2 The mailbox is full", MailboxFull, Retry},
		{"end-of-data 550 5.6.11 The message has bare line feeds", ContentRejected, Bounce},
		{"end-of-data 554 Transaction failed", ContentRejected, Bounce},
	} {
		if v := verdictOf(t, table, tt.reply); v.Class != tt.class || v.Action != tt.action {
			t.Errorf("%s\n\tis %s, %s by %s; want %s, %s", tt.reply, v.Class, v.Action, v.Rule, tt.class, tt.action)
		}
	}
}
