package smtp

import (
	"errors"
	"net/netip"
	"testing"
)

func TestParseXClient(t *testing.T) {
	x, err := ParseXClient("NAME=spike.example.test addr=IPV6:2001:db8::1 Port=2525 PROTO=esmtp HELO=x+2Ey.test LOGIN=a+40b.test DESTADDR=192.0.2.9 DESTPORT=25")
	if err != nil {
		t.Fatal(err)
	}
	if *x.Name != "spike.example.test" || *x.Addr != netip.MustParseAddr("2001:db8::1") || *x.Port != 2525 || !*x.ESMTP ||
		*x.Helo != "x.y.test" || *x.Login != "a@b.test" || *x.DestAddr != netip.MustParseAddr("192.0.2.9") || *x.DestPort != 25 {
		t.Errorf("%+v", x)
	}
	x, err = ParseXClient("NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE] PORT=[unavailable] HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]")
	if err != nil || *x.Name != "" || x.Addr.IsValid() || *x.Port != 0 || *x.Helo != "" || *x.Login != "" || x.ESMTP != nil || x.DestAddr != nil {
		t.Errorf("unavailable: %+v, %v", x, err)
	}
	for _, in := range []string{
		"", "NAME", "NAME=", "NAME=a_b..c", "FOO=1", "ADDR=1.2.3", "ADDR=2001:db8::1", "ADDR=IPV6:1.2.3.4", "ADDR=[TEMPUNAVAIL]", "ADDR=IPV6:fe80::1+25eth0", "PORT=0", "PORT=65536", "PORT=x", "PORT=+2B1",
		"PROTO=LMTP", "PROTO=[UNAVAILABLE]", "HELO=a b", "HELO=a+0Db", "HELO=x=y", "LOGIN=", "ADDR=1.2.3.4 ADDR=1.2.3.4", "DESTPORT=-1", "NAME=+zz",
	} {
		if x, err := ParseXClient(in); !errors.Is(err, ErrParameter) {
			t.Errorf("%q: %+v, %v; want an error", in, x, err)
		}
	}
}

func FuzzXClient(f *testing.F) {
	for _, s := range []string{"NAME=a.test ADDR=192.0.2.1", "ADDR=IPV6:::1 PORT=25 PROTO=SMTP", "HELO=[UNAVAILABLE] LOGIN=a+40b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := ParseXClient(s)
		if err != nil {
			return
		}
		for _, v := range []*string{x.Name, x.Helo, x.Login} {
			if v != nil && !isGraphic(*v) {
				t.Fatalf("%q gave %q", s, *v)
			}
		}
		if x.Addr != nil && x.Addr.Zone() != "" {
			t.Fatalf("%q gave %v", s, x.Addr)
		}
	})
}
