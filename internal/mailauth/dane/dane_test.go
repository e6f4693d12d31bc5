package dane_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"posthouse/internal/dns"
	"posthouse/internal/mailauth/dane"
	"posthouse/internal/nettest"
)

// record is the TLSA record of a certificate.
func record(usage, selector, matching uint8, cert *x509.Certificate) dns.TLSA {
	data := cert.Raw
	if selector == dane.SelectSPKI {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case dane.MatchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case dane.MatchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dns.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

func chainOf(t *testing.T, c tls.Certificate) (list []*x509.Certificate) {
	t.Helper()
	for _, der := range c.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, cert)
	}
	return list
}

func TestVerify(t *testing.T) {
	past := time.Now().Add(-time.Minute)
	root := nettest.NewCA(t, "root")
	sub := root.Sub(t, "sub")
	other := nettest.NewCA(t, "other")
	leaf := nettest.Leaf{Names: []string{"mx.example.net"}}
	good := chainOf(t, sub.Issue(t, leaf))
	old := chainOf(t, sub.Issue(t, nettest.Leaf{Names: leaf.Names, NotAfter: past}))
	self := chainOf(t, nettest.SelfSigned(t, nettest.Leaf{Names: []string{"else.example"}, NotAfter: past}))
	wild := chainOf(t, root.Issue(t, nettest.Leaf{Names: []string{"*.example.net"}}))
	mx := []string{"mx.example.net"}
	for name, c := range map[string]struct {
		records []dns.TLSA
		chain   []*x509.Certificate
		names   []string
		want    error
	}{
		"3 0 0":                            {[]dns.TLSA{record(3, 0, 0, good[0])}, good, mx, nil},
		"3 0 1":                            {[]dns.TLSA{record(3, 0, 1, good[0])}, good, mx, nil},
		"3 0 2":                            {[]dns.TLSA{record(3, 0, 2, good[0])}, good, mx, nil},
		"3 1 0":                            {[]dns.TLSA{record(3, 1, 0, good[0])}, good, mx, nil},
		"3 1 1":                            {[]dns.TLSA{record(3, 1, 1, good[0])}, good, mx, nil},
		"3 1 2":                            {[]dns.TLSA{record(3, 1, 2, good[0])}, good, mx, nil},
		"EE: neither name nor date counts": {[]dns.TLSA{record(3, 1, 1, self[0])}, self, mx, nil},
		"EE: other key":                    {[]dns.TLSA{record(3, 1, 1, self[0])}, good, mx, dane.ErrMatch},
		"EE: an issuer's key is not the server's":  {[]dns.TLSA{record(3, 1, 1, sub.Cert)}, good, mx, dane.ErrMatch},
		"one of two during a roll-over":            {[]dns.TLSA{record(3, 1, 1, self[0]), record(3, 1, 1, good[0])}, good, mx, nil},
		"2 0 1 root":                               {[]dns.TLSA{record(2, 0, 1, root.Cert)}, good, mx, nil},
		"2 1 1 intermediate":                       {[]dns.TLSA{record(2, 1, 1, sub.Cert)}, good, mx, nil},
		"2 1 2 root":                               {[]dns.TLSA{record(2, 1, 2, root.Cert)}, good, mx, nil},
		"2 0 0 the chain lacks it":                 {[]dns.TLSA{record(2, 0, 0, root.Cert)}, good[:2], mx, nil},
		"2 0 1 the chain lacks it":                 {[]dns.TLSA{record(2, 0, 1, root.Cert)}, good[:2], mx, dane.ErrMatch},
		"2 0 0 of a stranger":                      {[]dns.TLSA{record(2, 0, 0, other.Cert)}, good, mx, dane.ErrChain},
		"TA: name is wrong":                        {[]dns.TLSA{record(2, 0, 1, root.Cert)}, good, []string{"mx.example.org"}, dane.ErrName},
		"TA: the next-hop domain will do":          {[]dns.TLSA{record(2, 0, 1, root.Cert)}, good, []string{"other.example", "mx.example.net"}, nil},
		"TA: wildcard":                             {[]dns.TLSA{record(2, 0, 1, root.Cert)}, wild, mx, nil},
		"TA: wildcard is one label":                {[]dns.TLSA{record(2, 0, 1, root.Cert)}, wild, []string{"a.b.example.net"}, dane.ErrName},
		"TA: expired":                              {[]dns.TLSA{record(2, 0, 1, root.Cert)}, old, mx, dane.ErrExpired},
		"TA: the server's own certificate is none": {[]dns.TLSA{record(2, 0, 1, good[0])}, good, mx, dane.ErrMatch},
		"TA fails, EE saves":                       {[]dns.TLSA{record(2, 0, 1, other.Cert), record(3, 1, 1, good[0])}, good, mx, nil},
		"no chain":                                 {[]dns.TLSA{record(3, 1, 1, good[0])}, nil, mx, dane.ErrMatch},
	} {
		if err := dane.Verify(dane.Usable(c.records), c.chain, c.names, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUsable(t *testing.T) {
	cert := nettest.NewCA(t, "root").Cert
	short := record(3, 1, 1, cert)
	short.Data = short.Data[1:]
	junk := dns.TLSA{Usage: 3, Data: []byte("no certificate")}
	for name, c := range map[string]struct {
		in   []dns.TLSA
		want int
	}{
		"usages 0 and 1 are for others":      {[]dns.TLSA{record(0, 0, 1, cert), record(1, 1, 1, cert)}, 0},
		"unknown usage, selector, matching":  {[]dns.TLSA{record(4, 0, 1, cert), record(3, 2, 1, cert), record(3, 0, 3, cert)}, 0},
		"digest of a wrong length":           {[]dns.TLSA{short}, 0},
		"not a certificate, not a key":       {[]dns.TLSA{junk, {Usage: 3, Selector: 1, Data: junk.Data}}, 0},
		"the strongest digest counts":        {[]dns.TLSA{record(3, 1, 1, cert), record(3, 1, 2, cert)}, 1},
		"… of each usage and selector":       {[]dns.TLSA{record(3, 1, 1, cert), record(3, 0, 2, cert), record(2, 1, 1, cert)}, 3},
		"… beside whole keys":                {[]dns.TLSA{record(3, 1, 0, cert), record(3, 1, 1, cert)}, 2},
		"a malformed strong digest is none":  {[]dns.TLSA{record(3, 1, 1, cert), {Usage: 3, Selector: 1, Matching: 2, Data: []byte{1}}}, 1},
		"two of the same kind are roll-over": {[]dns.TLSA{record(3, 1, 1, cert), record(3, 1, 1, cert)}, 2},
	} {
		if got := dane.Usable(c.in); len(got) != c.want {
			t.Errorf("%s: %d usable, want %d", name, len(got), c.want)
		}
	}
}

// FuzzVerify gives any record and any certificates to what judges them.
func FuzzVerify(f *testing.F) {
	ca := nettest.NewCA(f, "root")
	leaf := ca.Issue(f, nettest.Leaf{Names: []string{"mx.example.net"}})
	f.Add(uint8(3), uint8(0), uint8(0), leaf.Certificate[0], leaf.Certificate[0])
	f.Add(uint8(2), uint8(0), uint8(0), ca.Cert.Raw, leaf.Certificate[0])
	f.Add(uint8(2), uint8(1), uint8(0), ca.Cert.RawSubjectPublicKeyInfo, leaf.Certificate[0])
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		records := dane.Usable([]dns.TLSA{{Usage: usage, Selector: selector, Matching: matching, Data: data}})
		err = dane.Verify(records, []*x509.Certificate{cert, ca.Cert}, []string{"mx.example.net"}, time.Now())
		if err == nil && len(records) == 0 {
			t.Error("authenticated by no record")
		}
	})
}
