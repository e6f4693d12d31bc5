package simulation

import "time"

// habits are the kinds of sites, in equal numbers. The replies are worded as
// real servers word them, so that the rules of classify are part of it.
func habits() []habit {
	return []habit{
		{name: "quick", takes: 80 * time.Millisecond},
		{name: "usual", takes: 400 * time.Millisecond, atOnce: 8, answer: unknownUsers},
		{name: "greylist", takes: 200 * time.Millisecond, answer: greylist},
		{name: "throttle", takes: 300 * time.Millisecond, answer: throttle},
		{name: "tempfail", takes: 300 * time.Millisecond, answer: tempfail},
		{name: "slow", takes: 20 * time.Second},
		{name: "full", takes: 300 * time.Millisecond, answer: fullMailboxes},
		{name: "metered", takes: 50 * time.Millisecond, perMinute: 10},
		{name: "outage", takes: 300 * time.Millisecond, down: func(age time.Duration) bool {
			return age > 2*time.Hour && age < 9*time.Hour
		}},
		{name: "dead", down: func(time.Duration) bool { return true }},
	}
}

// unknownUsers has one mailbox in fifty not there.
func unknownUsers(_ *Internet, _ *site, rcpt string, _ time.Time) reply {
	if hash(rcpt)%50 == 0 {
		return reply{550, "5.1.1 The email account that you tried to reach does not exist"}
	}
	return reply{}
}

// greylist defers what it has not seen for five minutes.
func greylist(_ *Internet, s *site, rcpt string, now time.Time) reply {
	if s.age(rcpt, now) < 5*time.Minute {
		return reply{450, "4.2.0 Recipient address rejected: Greylisted, please try again later"}
	}
	return reply{}
}

// throttle takes no more than twenty recipients a minute from one address.
func throttle(_ *Internet, s *site, _ string, now time.Time) reply {
	for len(s.calls) > 0 && now.Sub(s.calls[0]) >= time.Minute {
		s.calls = s.calls[1:]
	}
	if len(s.calls) >= 20 {
		return reply{450, "4.7.1 Error: too much mail from 192.0.2.7"}
	}
	s.calls = append(s.calls, now)
	return reply{}
}

// tempfail fails one time in twenty.
func tempfail(in *Internet, _ *site, _ string, _ time.Time) reply {
	if in.rnd.IntN(20) == 0 {
		return reply{451, "4.3.0 Temporary system problem. Try again later"}
	}
	return reply{}
}

// fullMailboxes has one mailbox in thirty full for a day.
func fullMailboxes(_ *Internet, s *site, rcpt string, now time.Time) reply {
	if hash(rcpt)%30 != 0 {
		return reply{}
	}
	if s.age(rcpt, now) < 24*time.Hour {
		return reply{452, "4.2.2 The email account that you tried to reach is over quota"}
	}
	return reply{}
}

// age is how long ago a recipient was first tried.
func (s *site) age(rcpt string, now time.Time) time.Duration {
	if _, met := s.first[rcpt]; !met {
		s.first[rcpt] = now
	}
	return now.Sub(s.first[rcpt])
}

// hash is FNV-1a: the same recipients in every run.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
