package smtp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// XClientAttributes are the attributes of XCLIENT that ParseXClient knows.
const XClientAttributes = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

// XClient is the argument of XCLIENT, by which a proxy tells for whom it speaks
// (Postfix's XCLIENT extension). A nil field was not given; one that points at a
// zero value is not known.
type XClient struct {
	Name  *string     // the client's host name; "" also when looking it up failed
	Addr  *netip.Addr // the client's address
	Port  *uint16
	ESMTP *bool   // PROTO: said EHLO or HELO
	Helo  *string // what it said
	Login *string // who it has logged in as; "" for nobody
	// DestAddr and DestPort are where the client has connected to.
	DestAddr *netip.Addr
	DestPort *uint16
}

// ParseXClient parses attribute=value pairs, the values in xtext. Errors wrap
// ErrParameter.
func ParseXClient(arg string) (XClient, error) {
	var x XClient
	seen := make(map[string]bool)
	fields := strings.Fields(arg)
	for _, field := range fields {
		name, coded, ok := strings.Cut(field, "=")
		name = strings.ToUpper(name)
		value, err := DecodeXtext(coded)
		if !ok || err != nil || seen[name] || len(value) > MaxDomain || !isGraphic(value) {
			return XClient{}, fmt.Errorf("%w: %q", ErrParameter, field)
		}
		seen[name] = true
		if !x.set(name, value) {
			return XClient{}, fmt.Errorf("%w: %s", ErrParameter, name)
		}
	}
	if len(fields) == 0 {
		return XClient{}, fmt.Errorf("%w: no attribute", ErrParameter)
	}
	return x, nil
}

// set takes one attribute; false when it is unknown or its value is not good.
func (x *XClient) set(name, value string) (ok bool) {
	const unavailable = "[UNAVAILABLE]"
	known := !strings.EqualFold(value, unavailable)
	if !known {
		value = ""
	}
	switch name {
	case "NAME":
		if strings.EqualFold(value, "[TEMPUNAVAIL]") {
			known, value = false, ""
		}
		x.Name = &value
		return !known || ValidDomain(value)
	case "HELO":
		x.Helo = &value
		return !known || ValidHelo(value)
	case "LOGIN":
		x.Login = &value
		return !known || value != ""
	case "PROTO":
		esmtp := strings.EqualFold(value, "ESMTP")
		x.ESMTP = &esmtp
		return esmtp || strings.EqualFold(value, "SMTP")
	case "ADDR":
		x.Addr, ok = xclientAddr(value, known)
	case "DESTADDR":
		x.DestAddr, ok = xclientAddr(value, known)
	case "PORT":
		x.Port, ok = xclientPort(value, known)
	case "DESTPORT":
		x.DestPort, ok = xclientPort(value, known)
	}
	return ok
}

// xclientAddr reads "192.0.2.1" or "IPV6:2001:db8::1".
func xclientAddr(value string, known bool) (*netip.Addr, bool) {
	if !known {
		return new(netip.Addr), true
	}
	const tag = "IPV6:"
	tagged := len(value) > len(tag) && strings.EqualFold(value[:len(tag)], tag)
	if tagged {
		value = value[len(tag):]
	}
	addr, err := netip.ParseAddr(value)
	ok := err == nil && addr.Is6() == tagged && addr.Zone() == ""
	addr = addr.Unmap()
	return &addr, ok
}

func xclientPort(value string, known bool) (*uint16, bool) {
	if !known {
		return new(uint16), true
	}
	n, err := strconv.ParseUint(value, 10, 16)
	port := uint16(n)
	return &port, err == nil && n > 0 && value[0] != '+'
}
