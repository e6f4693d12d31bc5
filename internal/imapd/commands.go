package imapd

import "posthouse/internal/imap"

// command is one row of the command table.
type command struct {
	states state // where it is possible
	// run reads the arguments and does the work. The text goes into the tagged
	// OK: a response code with its final space, or a code and words.
	run     func(s *session, p *imap.Parser) (text string, err error)
	args    bool // something follows the name
	expunge bool // EXPUNGE may be sent while it runs (RFC 9051 section 7.5.1)
}

// commands are the commands by name. APPEND is here for its states; the session
// runs it itself, because its message does not stand in the command.
var commands = map[string]command{
	"CAPABILITY": {anyState, (*session).cmdCapability, false, true},
	"NOOP":       {anyState, (*session).cmdNoop, false, true},
	"LOGOUT":     {anyState, (*session).cmdLogout, false, false},
	"ID":         {anyState, (*session).cmdID, true, true},

	"STARTTLS":     {notAuthenticated, (*session).cmdStartTLS, false, false},
	"AUTHENTICATE": {notAuthenticated, (*session).cmdAuthenticate, true, false},
	"LOGIN":        {notAuthenticated, (*session).cmdLogin, true, false},

	"ENABLE":      {afterAuth, (*session).cmdEnable, true, true},
	"SELECT":      {afterAuth, (*session).cmdSelect, true, false},
	"EXAMINE":     {afterAuth, (*session).cmdExamine, true, false},
	"CREATE":      {afterAuth, (*session).cmdCreate, true, true},
	"DELETE":      {afterAuth, (*session).cmdDelete, true, true},
	"RENAME":      {afterAuth, (*session).cmdRename, true, true},
	"SUBSCRIBE":   {afterAuth, (*session).cmdSubscribe, true, true},
	"UNSUBSCRIBE": {afterAuth, (*session).cmdUnsubscribe, true, true},
	"LIST":        {afterAuth, (*session).cmdList, true, true},
	"LSUB":        {afterAuth, (*session).cmdLsub, true, true},
	"NAMESPACE":   {afterAuth, (*session).cmdNamespace, false, true},
	"STATUS":      {afterAuth, (*session).cmdStatus, true, true},
	"APPEND":      {afterAuth, (*session).cmdAppendBare, true, true},
	"IDLE":        {afterAuth, (*session).cmdIdle, false, true},

	"CHECK":       {inMailbox, (*session).cmdNoop, false, true},
	"CLOSE":       {inMailbox, (*session).cmdClose, false, false},
	"UNSELECT":    {inMailbox, (*session).cmdUnselect, false, false},
	"EXPUNGE":     {inMailbox, (*session).cmdExpunge, false, true},
	"SEARCH":      {inMailbox, (*session).cmdSearch, true, false},
	"FETCH":       {inMailbox, (*session).cmdFetch, true, false},
	"STORE":       {inMailbox, (*session).cmdStore, true, false},
	"COPY":        {inMailbox, (*session).cmdCopy, true, true},
	"MOVE":        {inMailbox, (*session).cmdMove, true, true},
	"UID EXPUNGE": {inMailbox, (*session).cmdUIDExpunge, true, true},
	"UID SEARCH":  {inMailbox, (*session).cmdUIDSearch, true, true},
	"UID FETCH":   {inMailbox, (*session).cmdUIDFetch, true, true},
	"UID STORE":   {inMailbox, (*session).cmdUIDStore, true, true},
	"UID COPY":    {inMailbox, (*session).cmdUIDCopy, true, true},
	"UID MOVE":    {inMailbox, (*session).cmdUIDMove, true, true},
}
