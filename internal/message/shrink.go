package message

// maxID is the most bytes of a message-id that are of use to anybody.
const maxID = 4096

// ID is the message-id for logs, reports and indexes: at most 4,096 bytes of it.
func (s *Summary) ID() string {
	id := s.Envelope.MessageID
	return id[:min(len(id), maxID)]
}

// withoutStructure is s with KeptEnvelope.
func (s *Summary) withoutStructure() *Summary {
	c := *s
	r := &s.Root
	c.Root = Part{HeaderStart: r.HeaderStart, BodyStart: r.BodyStart, BodyEnd: r.BodyEnd, Lines: r.Lines}
	c.Kept = max(s.Kept, KeptEnvelope)
	return &c
}

// traits is s with KeptTraits; its encoding always fits.
func (s *Summary) traits() *Summary {
	c := s.withoutStructure()
	e := &s.Envelope
	c.Envelope = Envelope{MessageID: s.ID(), HasMessageID: e.HasMessageID, Time: e.Time}
	c.References = s.References[:min(len(s.References), 1)]
	c.Kept = KeptTraits
	return c
}

// mayBeCut reports whether a Summary of version 1 may have lost texts, addresses
// or parts: that was done to those whose encoding could be long by these numbers,
// and never left less than 16 parts of more.
func (s *Summary) mayBeCut() bool {
	parts, header := 0, int64(0)
	var walk func(p *Part)
	walk = func(p *Part) {
		parts++
		header += p.BodyStart - p.HeaderStart
		for i := range p.Parts {
			walk(&p.Parts[i])
		}
		if p.Message != nil {
			walk(&p.Message.Root)
		}
	}
	walk(&s.Root)
	return parts >= 16 || 3*header+128*int64(parts) >= MaxEncoded
}
