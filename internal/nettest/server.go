package nettest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	wire "github.com/miekg/dns"
)

// TB is what ServeDNS needs of a test.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// ServeDNS runs a server for d on a loopback port until the test ends, and
// answers its address.
func ServeDNS(t TB, d *DNS) string {
	t.Helper()
	s, err := d.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Addr()
}

// DNSServer is a DNS server on one port, by UDP and TCP.
type DNSServer struct {
	addr     string
	udp, tcp *wire.Server
	ended    sync.WaitGroup
}

// portTries is how often Serve looks for a port that is free for both.
const portTries = 20

// Serve starts a server for d on addr; port 0 picks one that is free.
func (d *DNS) Serve(addr string) (*DNSServer, error) {
	var last error
	for range portTries {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			last = errors.Join(err, l.Close())
			continue
		}
		return d.serve(l, p), nil
	}
	return nil, last
}

func (d *DNS) serve(l net.Listener, p net.PacketConn) *DNSServer {
	s := &DNSServer{addr: l.Addr().String()}
	var started sync.WaitGroup
	started.Add(2)
	s.udp = &wire.Server{PacketConn: p, Handler: d, NotifyStartedFunc: started.Done}
	s.tcp = &wire.Server{Listener: l, Handler: d, NotifyStartedFunc: started.Done}
	for _, srv := range []*wire.Server{s.udp, s.tcp} {
		s.ended.Go(func() { _ = srv.ActivateAndServe() }) // ends by Close
	}
	started.Wait()
	return s
}

// Addr is the address, such as "127.0.0.1:5353".
func (s *DNSServer) Addr() string { return s.addr }

// Close stops the server.
func (s *DNSServer) Close() error {
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.ended.Wait()
	return err
}

// ServeDNS answers one query; it makes DNS a handler of the DNS library.
func (d *DNS) ServeDNS(w wire.ResponseWriter, query *wire.Msg) {
	m := d.answer(query)
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(1232, false)
	}
	if w.RemoteAddr().Network() == "udp" {
		size := wire.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // the peer may be gone
}

// answer builds the reply to query.
func (d *DNS) answer(query *wire.Msg) *wire.Msg {
	m := new(wire.Msg)
	m.SetReply(query)
	m.RecursionAvailable = true
	if len(query.Question) != 1 {
		m.Rcode = wire.RcodeFormatError
		return m
	}
	q := query.Question[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if addr, ok := reverseName(name); ok {
		name = addr
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	owner, chain, ans, err := d.find(wire.TypeToString[q.Qtype], name)
	if err != nil {
		m.Rcode = wire.RcodeServerFailure
		return m
	}
	m.AuthenticatedData = ans.Authenticated
	ttl := uint32(d.ttl().Seconds())
	header := func(name string, rtype uint16) wire.RR_Header {
		return wire.RR_Header{Name: wire.Fqdn(name), Rrtype: rtype, Class: wire.ClassINET, Ttl: ttl}
	}
	for _, alias := range chain {
		m.Answer = append(m.Answer, &wire.CNAME{Hdr: header(alias, wire.TypeCNAME), Target: wire.Fqdn(d.r.CNAME[alias])})
	}
	asked := wire.Fqdn(owner)
	if len(chain) == 0 {
		asked = q.Name
	}
	records := d.records(q.Qtype, owner, header(asked, q.Qtype))
	m.Answer = append(m.Answer, records...)
	if len(records) == 0 {
		m.Ns = []wire.RR{&wire.SOA{Hdr: header("test", wire.TypeSOA), Ns: "ns.test.", Mbox: "hostmaster.test.",
			Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl}}
		if !d.exists(owner) {
			m.Rcode = wire.RcodeNameError
		}
	}
	return m
}

// records are those of one type of name, on the wire.
func (d *DNS) records(qtype uint16, name string, h wire.RR_Header) (list []wire.RR) {
	switch qtype {
	case wire.TypeMX:
		for _, mx := range d.r.MX[name] {
			list = append(list, &wire.MX{Hdr: h, Preference: mx.Preference, Mx: wire.Fqdn(mx.Host)})
		}
	case wire.TypeA:
		for _, a := range d.r.A[name] {
			list = append(list, &wire.A{Hdr: h, A: net.ParseIP(a)})
		}
	case wire.TypeAAAA:
		for _, a := range d.r.AAAA[name] {
			list = append(list, &wire.AAAA{Hdr: h, AAAA: net.ParseIP(a)})
		}
	case wire.TypeTXT:
		for _, text := range d.r.TXT[name] {
			list = append(list, &wire.TXT{Hdr: h, Txt: characterStrings(text)})
		}
	case wire.TypeTLSA:
		for _, t := range d.r.TLSA[name] {
			list = append(list, &wire.TLSA{Hdr: h, Usage: t.Usage, Selector: t.Selector,
				MatchingType: t.Matching, Certificate: hex.EncodeToString(t.Data)})
		}
	case wire.TypeCNAME:
		if target, ok := d.r.CNAME[name]; ok {
			list = append(list, &wire.CNAME{Hdr: h, Target: wire.Fqdn(target)})
		}
	case wire.TypePTR:
		for _, host := range d.r.PTR[name] {
			list = append(list, &wire.PTR{Hdr: h, Ptr: wire.Fqdn(host)})
		}
	}
	return list
}

// exists reports whether name has a record of any type.
func (d *DNS) exists(name string) bool {
	r := &d.r
	if _, alias := r.CNAME[name]; alias {
		return true
	}
	return len(r.MX[name])+len(r.A[name])+len(r.AAAA[name])+len(r.TXT[name])+len(r.TLSA[name])+len(r.PTR[name]) > 0
}

// characterStrings cuts text into strings of at most 255 bytes, in the
// presentation form that the DNS library takes.
func characterStrings(text string) (list []string) {
	for first := true; first || text != ""; first = false {
		n := min(len(text), 255)
		var b strings.Builder
		for i := range n {
			if c := text[i]; c == '\\' || c == '"' || c < ' ' || c >= 0x7f {
				fmt.Fprintf(&b, `\%03d`, c)
			} else {
				b.WriteByte(c)
			}
		}
		list = append(list, b.String())
		text = text[n:]
	}
	return list
}

// reverseName is the address of a name in in-addr.arpa or ip6.arpa.
func reverseName(name string) (string, bool) {
	if v4, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		p := strings.Split(v4, ".")
		if len(p) != 4 {
			return "", false
		}
		a, err := netip.ParseAddr(p[3] + "." + p[2] + "." + p[1] + "." + p[0])
		return a.String(), err == nil
	}
	v6, ok := strings.CutSuffix(name, ".ip6.arpa")
	if p := strings.Split(v6, "."); ok && len(p) == 32 {
		var b strings.Builder
		for i := len(p) - 1; i >= 0; i-- {
			b.WriteString(p[i])
			if i%4 == 0 && i > 0 {
				b.WriteByte(':')
			}
		}
		a, err := netip.ParseAddr(b.String())
		return a.String(), err == nil
	}
	return "", false
}
