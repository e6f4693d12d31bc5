package fetch_test

import (
	"strings"
	"testing"

	"posthouse/internal/fetch"
	"posthouse/internal/nettest"
)

// TestNobodyIsCalledInside keeps requests out of private networks.
func TestNobodyIsCalledInside(t *testing.T) {
	d := nettest.NewDNS(nettest.Records{A: map[string][]string{
		"loop.example": {"127.0.0.1"}, "lan.example": {"10.0.0.1", "192.168.1.1"}, "link.example": {"169.254.169.254"},
	}, AAAA: map[string][]string{"six.example": {"::1", "fd00::1", "fe80::1"}}})
	c := fetch.NewClient(fetch.Options{Resolver: d})
	for _, url := range []string{"https://loop.example/", "https://lan.example/", "https://link.example/", "https://six.example/", "https://127.0.0.1/", "https://[::1]/"} {
		if _, err := c.Get(url); err == nil || !strings.Contains(err.Error(), fetch.ErrPrivate.Error()) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := c.Get("http://loop.example/"); err == nil || !strings.Contains(err.Error(), "scheme") {
		t.Errorf("http: %v", err)
	}
}
