package smtpd

// verbs are the commands; the argument is what followed the verb.
var verbs = map[string]func(s *session, arg string){
	"HELO":     (*session).cmdHELO,
	"EHLO":     (*session).cmdEHLO,
	"LHLO":     (*session).cmdLHLO,
	"MAIL":     (*session).cmdMAIL,
	"RCPT":     (*session).cmdRCPT,
	"DATA":     (*session).cmdDATA,
	"BDAT":     (*session).cmdBDAT,
	"RSET":     (*session).cmdRSET,
	"NOOP":     (*session).cmdNOOP,
	"HELP":     (*session).cmdHELP,
	"VRFY":     (*session).cmdVRFY,
	"EXPN":     (*session).cmdEXPN,
	"ETRN":     (*session).cmdETRN,
	"TURN":     (*session).cmdTURN,
	"QUIT":     (*session).cmdQUIT,
	"STARTTLS": (*session).cmdSTARTTLS,
	"AUTH":     (*session).cmdAUTH,
	"XCLIENT":  (*session).cmdXCLIENT,
}

// badSequence answers a command that comes at the wrong time (RFC 5321 section
// 4.1.4).
func (s *session) badSequence(text string) {
	s.reply(503, enhanced(5, 5, 1), text)
}

// badArguments answers arguments that are not well formed.
func (s *session) badArguments(syntax string) {
	s.reply(501, enhanced(5, 5, 4), "Syntax: "+syntax)
}
