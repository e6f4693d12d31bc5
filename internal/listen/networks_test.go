package listen

import (
	"net/netip"
	"testing"
)

func TestNetworks(t *testing.T) {
	n := Networks{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}
	for a, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.3.1": false, "fe80::1": true, "fe80::1%eth0": true, "2001:db8::1": false,
	} {
		if got := n.Have(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if n.Have(netip.Addr{}) || Networks(nil).Have(netip.MustParseAddr("192.0.2.1")) {
		t.Error("no address, or no networks")
	}
}
