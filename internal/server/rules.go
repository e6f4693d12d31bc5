package server

import (
	"errors"
	"io"
	"os"

	"posthouse/internal/classify"
	"posthouse/internal/config"
)

// maxRules bounds the file of rules, in bytes.
const maxRules = 1 << 20

// ReplyRules are what the replies of other servers mean: our own rules, and
// before them those of the configuration's file.
func ReplyRules(cfg *config.Config) (*classify.Table, error) {
	table, err := classify.Standard()
	if err != nil || cfg.Outbound.Rules == "" {
		return table, err
	}
	doc, err := readRules(cfg.Outbound.Rules)
	if err != nil {
		return nil, cfg.Errorf("outbound.rules", "%v", err)
	}
	if table, err = table.With(cfg.Outbound.Rules, doc); err != nil {
		return nil, cfg.Errorf("outbound.rules", "%v", err)
	}
	return table, nil
}

func readRules(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, maxRules+1))
	if err == nil && len(doc) > maxRules {
		err = errors.New(path + ": larger than 1 MB: not a file of rules")
	}
	return doc, err
}
