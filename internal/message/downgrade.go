package message

import (
	"strings"
)

// noAddress stands for an address that cannot be written in ASCII (RFC 6858
// section 2.1). Nobody has it.
var noAddress = Address{Mailbox: "invalid", Host: "internationalized-address.invalid"}

// Downgrade makes a header for readers who take ASCII only (RFC 6858 section 2):
// texts and names become encoded words, parameters take the form of RFC 2231,
// addresses that need UTF-8 are named and replaced, other fields that are not
// ASCII are left out. Fields that are stay as they are, to the byte; a header
// without any other is returned itself. Headers inside of the body are not looked
// at.
func Downgrade(h Header) Header {
	if !hasEightBit(h) {
		return h
	}
	out := make(Header, 0, len(h)+len(h)/4)
	end := 0
	for f := range h.Fields() {
		if end == 0 && !hasEightBit(h[:f.Start]) {
			out = append(out, h[:f.Start]...)
		}
		if field := h[f.Start:f.End]; hasEightBit(field) {
			out = downgradeField(out, f)
		} else {
			out = append(out, field...)
		}
		end = f.End
	}
	for end < len(h) { // the empty line, and what is no field when there is none
		next := lineEnd(h, end)
		if line := h[end:next]; !hasEightBit(line) {
			out = append(out, line...)
		}
		end = next
	}
	return out
}

func downgradeField(out Header, f Field) Header {
	name := string(f.Name)
	switch strings.ToLower(name) {
	case "subject", "comments", "content-description":
		return AppendField(out, name, EncodeText(DecodeText(string(f.Value))))
	case "from", "sender", "reply-to", "to", "cc", "bcc",
		"resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc", "resent-bcc":
		return AppendField(out, name, downgradeAddresses(ParseAddressList(string(f.Value))))
	case "content-type", "content-disposition":
		value, params := parseParams(f.Text())
		if hasEightBit([]byte(value)) {
			return out
		}
		known := params[:0]
		for _, p := range params {
			if !hasEightBit([]byte(p.Name)) {
				p.Value = validText(p.Value)
				known = append(known, p)
			}
		}
		return AppendField(out, name, withParams(value, known))
	}
	return out
}

// downgradeAddresses writes a list with its groups.
func downgradeAddresses(list []Address) string {
	var b strings.Builder
	separate := false
	for _, a := range list {
		if a.Group == GroupEnd {
			b.WriteString(";")
			separate = true
			continue
		}
		if separate {
			b.WriteString(", ")
		}
		if separate = a.Group == GroupNone; !separate {
			b.WriteString(EncodePhrase(DecodeText(a.Mailbox), false) + ": ")
			continue
		}
		b.WriteString(downgradeAddress(a))
	}
	return b.String()
}

func downgradeAddress(a Address) string {
	a.Name = DecodeText(a.Name)
	if spec := a.Mailbox + "@" + a.Host; hasEightBit([]byte(spec)) {
		name := a.Name
		if name == "" {
			name = validText(spec)
		}
		a = noAddress
		a.Name = name
	}
	return FormatAddress(a, false)
}

// IsASCII reports whether a header can be shown to any reader.
func (h Header) IsASCII() bool { return !hasEightBit(h) }
