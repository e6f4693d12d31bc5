package courier

import "testing"

// Whatever a server says of its limits, they are bounds that can be kept.
func FuzzParseLimits(f *testing.F) {
	f.Add("RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1")
	f.Add("rcptmax=0 MAILMAX=-1 RCPTDOMAINMAX=99999999999 X")
	f.Add("=1 RCPTMAX RCPTMAX= RCPTMAX=1=2")
	f.Fuzz(func(t *testing.T, param string) {
		if l := parseLimits(param); l.mails < 0 || l.rcpts < 0 || l.domains < 0 {
			t.Errorf("%q: %+v", param, l)
		}
	})
}
