package pebble

import (
	"testing"

	"posthouse/internal/kv"
	"posthouse/internal/kv/kvtest"
)

func open(t *testing.T, dir string) kv.Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) { kvtest.Run(t, open) }
