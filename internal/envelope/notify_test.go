package envelope

import "testing"

func TestNotifies(t *testing.T) {
	for _, tc := range []struct {
		notify  string
		told    string // of success, failure, delay
		members string
	}{
		{"", "-fd", ""},
		{"NEVER", "---", "NEVER"},
		{"SUCCESS", "s--", "NEVER"},
		{"FAILURE", "-f-", "FAILURE"},
		{"success, Delay", "s-d", "Delay"},
		{"SUCCESS,FAILURE,DELAY", "sfd", "FAILURE,DELAY"},
	} {
		r := Rcpt{Notify: tc.notify}
		got := []byte("---")
		for i, what := range []string{NotifySuccess, NotifyFailure, NotifyDelay} {
			if r.Notifies(what) {
				got[i] = "sfd"[i]
			}
		}
		if string(got) != tc.told {
			t.Errorf("%q tells %s, want %s", tc.notify, got, tc.told)
		}
		if m := r.WithoutSuccess(); m.Notify != tc.members {
			t.Errorf("%q is %q for the members of an alias, want %q", tc.notify, m.Notify, tc.members)
		}
	}
}
