package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// server is one resolver to ask.
type server struct {
	addr    netip.AddrPort
	trustAD bool
}

const (
	udpSize   = 1232 // what passes everywhere without fragments
	rounds    = 2    // times that every server is asked
	maxStrays = 100  // datagrams that are not ours, before an attempt is given up
)

var errStray = errors.New("not an answer to this question")

// parseServer reads "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or
// "[2001:db8::1]:53".
func parseServer(s string) (netip.AddrPort, error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if a, err := netip.ParseAddr(bare); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("dns: server %q is not an IP address with an optional port", s)
	}
	return ap, nil
}

// systemServers reads resolv.conf. Like the C library it takes a resolver on
// this machine when none is named.
func systemServers(path string) []string {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil || len(conf.Servers) == 0 {
		return []string{"127.0.0.1"}
	}
	return conf.Servers
}

// ask asks the servers in turn until one answers. Its errors wrap ErrTemporary.
func (c *Client) ask(ctx context.Context, q question) (result, error) {
	var last error
	for range rounds {
		for _, s := range c.servers {
			r, err := c.askServer(ctx, s, q)
			if err == nil {
				return r, nil
			}
			last = err
			if ctx.Err() != nil {
				return result{}, fmt.Errorf("%w: %s: %w", ErrTemporary, q.name, ctx.Err())
			}
		}
	}
	if !errors.Is(last, ErrTemporary) {
		last = fmt.Errorf("%w: %s: %w", ErrTemporary, q.name, last)
	}
	return result{}, last
}

// askServer asks one server once: by UDP, by TCP when the answer is cut short,
// without EDNS when it does not know that (RFC 6891 section 6.2.2).
func (c *Client) askServer(ctx context.Context, s server, q question) (result, error) {
	m, err := c.exchange(ctx, "udp", s, q, true)
	edns := true
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		edns = false
		m, err = c.exchange(ctx, "udp", s, q, edns)
	}
	if err == nil && m.Truncated {
		m, err = c.exchange(ctx, "tcp", s, q, edns)
	}
	if err != nil {
		return result{}, err
	}
	return decode(m, q, s.trustAD)
}

// exchange sends one query and reads its answer, within the timeout.
func (c *Client) exchange(ctx context.Context, network string, s server, q question, edns bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(q.name), q.qtype)
	// Asks for the AD bit without asking for signatures (RFC 6840 section 5.7).
	query.AuthenticatedData = true
	if edns {
		query.SetEdns0(udpSize, false)
	}
	packet, err := query.Pack()
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx, network, s.addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return exchangeTCP(conn, packet, query.Id, q)
	}
	return exchangeUDP(conn, packet, query.Id, q)
}

func exchangeUDP(conn net.Conn, packet []byte, id uint16, q question) (*dns.Msg, error) {
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	// Larger than asked for, so that nothing is cut off silently.
	buf := make([]byte, 4096)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		// A late answer to somebody else, or a forgery: keep waiting.
		if m, err := parse(buf[:n], id, q); err == nil {
			return m, nil
		}
	}
	return nil, errStray
}

func exchangeTCP(conn net.Conn, packet []byte, id uint16, q question) (*dns.Msg, error) {
	// RFC 1035 section 4.2.2: two bytes of length before each message.
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(packet)))
	if _, err := conn.Write(append(framed, packet...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	return parse(buf, id, q)
}

// parse reads a packet that must be the answer to q with that id.
func parse(packet []byte, id uint16, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		// A datagram cut short parses up to the cut: TCP brings the rest.
		if !m.Truncated || len(m.Question) != 1 {
			return nil, err
		}
	}
	if !m.Response || m.Id != id || m.Opcode != dns.OpcodeQuery {
		return nil, errStray
	}
	if len(m.Question) == 0 && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return m, nil // a refusal that does not repeat the question
	}
	if len(m.Question) != 1 || m.Question[0].Qtype != q.qtype ||
		m.Question[0].Qclass != dns.ClassINET || !sameName(m.Question[0].Name, q.name) {
		return nil, errStray
	}
	return m, nil
}
