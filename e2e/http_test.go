package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// get asks a house's http door, with a token if there is one.
func (h *House) get(path, token string) (code int, kind, body string) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+h.Addr["http"]+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(text)
}

// Health, readiness and metrics are for whoever is on this machine; the admin API
// is for who has the token, and says in problem details what it lacks.
func TestHTTPDoor(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "alice@"+Domain)
	h.Start()
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, _, body := h.get(path, ""); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, kind, body := h.get("/metrics", ""); code != 200 || !strings.HasPrefix(kind, "text/plain; version=0.0.4") || !strings.Contains(body, "posthouse_queue_entries") {
		t.Errorf("metrics: %d %s\n%s", code, kind, body)
	}
	token, err := os.ReadFile(filepath.Join(h.Dir, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "x", strings.TrimSpace(string(token)) + "x"} {
		code, kind, body := h.get("/admin/v1/domains", wrong)
		var p struct {
			Title, Detail string
			Status        int
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || code != 401 || p.Status != 401 || kind != "application/problem+json" || p.Detail == "" {
			t.Errorf("token %q: %d %s %s", wrong, code, kind, body)
		}
	}
	code, _, body := h.get("/admin/v1/domains", strings.TrimSpace(string(token)))
	var domains []struct{ Name string }
	if err := json.Unmarshal([]byte(body), &domains); err != nil || code != 200 || len(domains) != 1 || domains[0].Name != Domain {
		t.Errorf("domains: %d %s", code, body)
	}
}

// A data directory that is open to others opens neither the passwords' hashes nor
// the mail to them.
func TestDataIsPrivate(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "")
	data := filepath.Join(h.Dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	h.Run("", "domain", "add", Domain)
	for _, dir := range []string{"index", "bodies"} {
		path := filepath.Join(data, dir)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", dir, info.Mode(), err)
		}
	}
	// As older releases made it.
	if err := os.Chmod(filepath.Join(data, "index"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.Run("", "domain", "list")
	if info, err := os.Stat(filepath.Join(data, "index")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
