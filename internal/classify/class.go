package classify

import "time"

// Class is the kind of answer. The set is closed: it labels metrics.
type Class string

// The classes.
const (
	BadMailbox         Class = "bad-mailbox"          // no such address
	InactiveMailbox    Class = "inactive-mailbox"     // there is one, switched off or given up
	MailboxFull        Class = "mailbox-full"         //
	BadDomain          Class = "bad-domain"           // no such domain, or one without mail
	Routing            Class = "routing"              // loops, MX hosts that are not there, the name service
	MessageTooBig      Class = "message-too-big"      //
	ContentRejected    Class = "content-rejected"     // form, attachments, links
	Spam               Class = "spam"                 // content that looks like it
	Virus              Class = "virus"                //
	PolicyRefused      Class = "policy"               // rules of the receiver's own
	Authentication     Class = "authentication"       // SPF, DKIM, DMARC, reverse DNS
	BadSender          Class = "bad-sender"           // the sender's address or domain is not taken
	Reputation         Class = "reputation"           // blocklists and the like
	RateLimited        Class = "rate-limited"         //
	Greylisted         Class = "greylisted"           //
	TooManyRecipients  Class = "too-many-recipients"  // in one transaction
	TooManyConnections Class = "too-many-connections" //
	TLS                Class = "tls"                  // handshake, certificate, or TLS wanted and not there
	RelayDenied        Class = "relay-denied"         //
	Login              Class = "login"                // a relay does not take our password, or a server wants one
	NotSupported       Class = "not-supported"        // an extension that the message needs
	Protocol           Class = "protocol"             // misunderstandings
	System             Class = "system"               // the other server has troubles of its own
	NetworkFailure     Class = "network"              // not reached, or the connection was lost
	Local              Class = "local"                // trouble on this side
	Other              Class = "other"                //
)

// habit is what a class means when its rule does not say it.
type habit struct {
	class     Class
	scope     Scope
	temporary Action // for 4yz
	permanent Action // for 5yz
	pause     time.Duration
	hint      string
}

// habits has every class once.
var habits = []habit{
	{BadMailbox, Recipient, Retry, Suppress, 0,
		"Check the address for typing errors, or ask the recipient for the right one."},
	{InactiveMailbox, Recipient, Retry, Suppress, 0,
		"The mailbox is no longer in use. Ask the recipient for another address."},
	{MailboxFull, Recipient, Retry, Bounce, 0,
		"The recipient must make room in the mailbox. Try again later, or reach them another way."},
	{BadDomain, RecipientDomain, Retry, Bounce, 0,
		"Check what stands after the @ in the address."},
	{Routing, RecipientDomain, Retry, Bounce, 0,
		"No way to the recipient's domain was found: its mail set-up is broken, or a name server does not answer. Its administrators can correct that, or yours if it is so for all domains."},
	{MessageTooBig, Content, Retry, Bounce, 0,
		"Send a smaller message, for instance with a link in place of the attachment."},
	{ContentRejected, Content, Retry, Bounce, 0,
		"Something in the message is not accepted there: often an attachment or a link. Send it in another form."},
	{Spam, Content, Retry, Bounce, 0,
		"The message looks like spam to the receiving server. Write it differently, with fewer links, or reach the recipient another way."},
	{Virus, Content, Retry, Bounce, 0,
		"The receiving server found something harmful in the message. Check your computer and the attachments."},
	{PolicyRefused, Policy, Retry, Bounce, 0,
		"The receiving side has a rule against this message. Ask the recipient, or their administrator, to allow it."},
	{Authentication, SenderDomain, Retry, Bounce, 0,
		"The receiving server could not verify that the message is from your domain. Your mail administrator should check SPF, DKIM, DMARC and reverse DNS."},
	{BadSender, SenderDomain, Retry, Bounce, 0,
		"Your sender address is not accepted there. Your mail administrator should check that its domain exists and takes mail."},
	{Reputation, SourceAddress, StopSite, Bounce, 30 * time.Minute,
		"The receiving side has blocked this mail server for its reputation. Your mail administrator should ask for removal at the place that the reply names."},
	{RateLimited, SourceAddress, StopSite, Bounce, 10 * time.Minute,
		"The receiving side takes mail from here only slowly at the moment. There is nothing to do but wait."},
	{Greylisted, Policy, Retry, Retry, 0,
		"The receiving server asks every new sender to come again. There is nothing to do but wait."},
	{TooManyRecipients, Policy, Retry, Retry, 0,
		"The receiving server takes fewer recipients at a time. The others follow by themselves."},
	{TooManyConnections, SourceAddress, StopSite, StopSite, time.Minute,
		"The receiving server is busy with other mail from here. There is nothing to do but wait."},
	{TLS, Network, RetryElsewhere, Bounce, 0,
		"No encrypted connection that is good enough could be made. Your mail administrator or theirs should check TLS."},
	{RelayDenied, RecipientDomain, Retry, Bounce, 0,
		"The server that the domain names does not take mail for this address. Check the address; otherwise its administrators must correct the set-up."},
	{Login, Policy, Retry, Retry, 0,
		"The relay that mail is handed to refuses our login. Your mail administrator must correct the configuration."},
	{NotSupported, Content, Retry, Bounce, 0,
		"The receiving server is too old for this kind of message. Use an address without special characters, and plain text."},
	{Protocol, Network, RetryElsewhere, Bounce, 0,
		"The two servers do not understand each other. Tell your mail administrator."},
	{System, Network, RetryElsewhere, Bounce, 0,
		"The receiving server has troubles of its own. If they last, its administrators must be told another way."},
	{NetworkFailure, Network, RetryElsewhere, Bounce, 0,
		"The receiving server cannot be reached. If that lasts, its administrators must be told another way."},
	{Local, "", Retry, Bounce, 0,
		"Something went wrong on this side. Tell your mail administrator."},
	{Other, Policy, Retry, Bounce, 0, ""},
}

// Classes are all classes.
func Classes() []Class {
	list := make([]Class, len(habits))
	for i := range habits {
		list[i] = habits[i].class
	}
	return list
}

func (c Class) habit() *habit {
	for i := range habits {
		if habits[i].class == c {
			return &habits[i]
		}
	}
	return nil
}

// Verdict is what a class means by itself when it comes with an SMTP reply code,
// 400 to 599.
func (c Class) Verdict(code int) Verdict {
	h := c.habit()
	if h == nil {
		return Other.Verdict(code)
	}
	v := Verdict{Class: c, Scope: h.scope, Action: h.temporary, Hint: h.hint}
	if code >= 500 {
		v.Action = h.permanent
	}
	if v.Action == StopSite {
		v.Pause = h.pause
	}
	return v
}
