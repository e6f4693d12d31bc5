package listen

import (
	"net/netip"
	"slices"
)

// Networks are those of clients that are treated alike.
type Networks []netip.Prefix

// Have reports whether an address is in one of the networks, whatever its zone. An
// IPv4 address may be mapped into IPv6.
func (n Networks) Have(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(a) })
}
