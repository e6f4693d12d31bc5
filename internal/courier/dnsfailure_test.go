package courier

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"posthouse/internal/classify"
	"posthouse/internal/dns"
	"posthouse/internal/nettest"
	"posthouse/internal/status"
)

// asking is a courier that asks a name server, for so long each time.
func asking(t *testing.T, server string, patience time.Duration) *Courier {
	client, err := dns.NewClient(dns.Options{Servers: []string{server}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	return newCourier(t, nil, func(o *Options) { o.Resolver = client })
}

// serve is a name server that answers by udp with what fn makes of a question.
func serveDNS(t *testing.T, fn func(w wire.ResponseWriter, q *wire.Msg)) string {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &wire.Server{PacketConn: pc, Handler: wire.HandlerFunc(fn), NotifyStartedFunc: func() { close(started) }}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return pc.LocalAddr().String()
}

// A name service that fails loses no mail: it is tried again, and the outcome
// says why.
func TestNameServiceFails(t *testing.T) {
	rcode := func(code int) func(wire.ResponseWriter, *wire.Msg) {
		return func(w wire.ResponseWriter, q *wire.Msg) {
			m := new(wire.Msg).SetRcode(q, code)
			_ = w.WriteMsg(m)
		}
	}
	for name, fn := range map[string]func(wire.ResponseWriter, *wire.Msg){
		"SERVFAIL": rcode(wire.RcodeServerFailure),
		"REFUSED":  rcode(wire.RcodeRefused),
		"silence":  func(wire.ResponseWriter, *wire.Msg) {},
		"nonsense": func(w wire.ResponseWriter, _ *wire.Msg) { _, _ = w.Write([]byte("this is no DNS")) },
		"loop": func(w wire.ResponseWriter, q *wire.Msg) {
			m := new(wire.Msg).SetReply(q)
			for from, to := range map[string]string{"example.net.": "a.example.net.", "a.example.net.": "b.example.net.", "b.example.net.": "a.example.net."} {
				m.Answer = append(m.Answer, &wire.CNAME{Target: to,
					Hdr: wire.RR_Header{Name: from, Rrtype: wire.TypeCNAME, Class: wire.ClassINET, Ttl: 60}})
			}
			_ = w.WriteMsg(m)
		},
		"hosts without answer": func(w wire.ResponseWriter, q *wire.Msg) {
			if q.Question[0].Qtype != wire.TypeMX {
				rcode(wire.RcodeServerFailure)(w, q)
				return
			}
			m := new(wire.Msg).SetReply(q)
			m.Answer = []wire.RR{&wire.MX{Preference: 1, Mx: "mx.example.net.",
				Hdr: wire.RR_Header{Name: q.Question[0].Name, Rrtype: wire.TypeMX, Class: wire.ClassINET, Ttl: 60}}}
			_ = w.WriteMsg(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience, want, text := 100*time.Millisecond, "4.4.3", "did not answer for example.net"
			if name == "loop" { // this is answered
				patience, want, text = time.Minute, "4.4.4", "in a circle (CNAME)"
			}
			_, err := asking(t, serveDNS(t, fn), patience).Resolve(t.Context(), "example.net")
			var e *status.Error
			if !errors.As(err, &e) {
				t.Fatalf("no outcome: %v", err)
			}
			o := FromError(err)
			if !o.Temporary() || o.Class != classify.Routing || o.Status().String() != want || !strings.Contains(o.Text, text) {
				t.Errorf("%d %s %s %+v", o.Code, o.Enhanced, o.Text, o.Verdict)
			}
		})
	}
}

// A domain with more mail hosts, and hosts with more addresses, than anybody
// needs costs no more than one with many.
func TestHugeAnswers(t *testing.T) {
	r := nettest.Records{MX: map[string][]dns.MX{}, A: map[string][]string{}}
	for i := range 800 {
		host := fmt.Sprintf("%s%d.example.net", strings.Repeat("m", 40), i)
		r.MX["example.net"] = append(r.MX["example.net"], dns.MX{Preference: uint16(i), Host: host})
		r.A[host] = []string{"192.0.2.1"}
	}
	for i := range 500 {
		r.A["one.net"] = append(r.A["one.net"], fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	c := asking(t, nettest.ServeDNS(t, nettest.NewDNS(r)), time.Minute)
	route, err := c.Resolve(t.Context(), "example.net")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(route.Hosts); n != maxHosts || len(route.Site) > maxSiteName {
		t.Errorf("%d hosts, a site's name of %d bytes", n, len(route.Site))
	}
	if route, err = c.Resolve(t.Context(), "one.net"); err != nil || len(route.Hosts[0].Addrs) != maxAddrs {
		t.Errorf("%+v, %v", route, err)
	}
}
