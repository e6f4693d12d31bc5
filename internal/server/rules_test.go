package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthouse/internal/classify"
	"posthouse/internal/config"
	"posthouse/internal/smtp"
)

// The rules of a file from the configuration come before our own; a file with a
// fault stops the start, and the error says where the key was given.
func TestReplyRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.toml")
	cfg, err := config.Parse("posthouse.toml", []byte("[outbound]\nrules = \""+file+"\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReplyRules(cfg); err == nil || !strings.Contains(err.Error(), "posthouse.toml:2") {
		t.Errorf("no file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[[rule]]\nname = \"siesta\"\ncode = [\"5xx\"]\ntext = [\"siesta\"]\nclass = \"rate-limited\"\naction = \"retry\"\nsamples = [\"550 5.1.1 It is siesta\"]\n")
	table, err := ReplyRules(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := smtp.ParseReply("550 5.1.1 siesta, no such user")
	if v := table.Classify(classify.StageRcpt, r); v.Rule != "siesta" || v.Action != classify.Retry {
		t.Errorf("%+v", v)
	}
	write("[[rule]]\nname = \"x\"\nclass = \"weather\"\n")
	if _, err := ReplyRules(cfg); err == nil || !strings.Contains(err.Error(), "posthouse.toml:2") || !strings.Contains(err.Error(), "weather") {
		t.Errorf("a fault: %v", err)
	}
}
