package listen

import (
	"log/slog"
	"time"

	"posthouse/internal/wire"
)

// refusalPatience is how long a client that is turned away may take over the
// handshake, and over the words.
const refusalPatience = 5 * time.Second

// Refusal is a client that is not let in, and who is to know.
type Refusal struct {
	Verdict  Verdict
	Door     string
	Log      *slog.Logger // the session's
	Observer Observer
}

// TurnAway closes the connection of a client that is not let in. If Explain has a
// slot it says why: a line in the door's protocol, its CRLF not included.
// implicitTLS is of a listener with TLS from the start.
func (g *Gate) TurnAway(conn *wire.Conn, r Refusal, implicitTLS bool, why string) {
	r.Observer.Refused(r.Door, r.Verdict.Reason())
	g.Log(r.Log, r.Verdict)
	done, ok := g.Explain()
	if !ok {
		conn.Cut()
		return
	}
	defer done() // when the connection is closed
	defer conn.Close()
	conn.ReadTimeout, conn.WriteTimeout = refusalPatience, refusalPatience
	if implicitTLS && conn.TLS() == nil {
		return
	}
	conn.Writer().WriteString(why + "\r\n")
	conn.Flush()
	conn.Linger()
}
