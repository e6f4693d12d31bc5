package server

import (
	"net"
	"net/netip"
	"slices"

	"posthouse/internal/config"
)

// places are the addresses and ports at which we take mail from other servers.
type places struct {
	at       []netip.AddrPort
	anywhere []uint16 // at every address of the machine
}

func placesOf(cfg *config.Config) (p places) {
	for _, spec := range cfg.Listen.SMTP {
		a, err := net.ResolveTCPAddr("tcp", spec)
		if err != nil {
			continue
		}
		if a.IP == nil || a.IP.IsUnspecified() {
			p.anywhere = append(p.anywhere, uint16(a.Port))
			continue
		}
		p.at = append(p.at, netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port)))
	}
	return p
}

// isOurs tells whether the courier would call this house: the port is one on
// which we take mail from other servers, at an address on which we listen.
func isOurs(cfg *config.Config) func(string, []netip.Addr, uint16) bool {
	ours := placesOf(cfg)
	return func(_ string, addrs []netip.Addr, port uint16) bool {
		for _, addr := range addrs {
			if slices.Contains(ours.at, netip.AddrPortFrom(addr.Unmap(), port)) {
				return true
			}
			if slices.Contains(ours.anywhere, port) && isMachineAddress(addr) {
				return true
			}
		}
		return false
	}
}

// isHere tells whether an address, which may stand in a literal, is one at which we
// take mail from other servers, on whichever port.
func isHere(cfg *config.Config) func(netip.Addr) bool {
	ours := placesOf(cfg)
	return func(addr netip.Addr) bool {
		at := func(a netip.AddrPort) bool { return a.Addr() == addr.Unmap() }
		return slices.ContainsFunc(ours.at, at) || len(ours.anywhere) > 0 && isMachineAddress(addr)
	}
}

// isMachineAddress reports whether an interface of this machine has addr.
func isMachineAddress(addr netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}
