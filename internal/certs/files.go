package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// lookEvery bounds how often a handshake looks at the files.
const lookEvery = 2 * time.Second

// files is a certificate that somebody else looks after.
type files struct {
	opt Options

	mu     sync.Mutex
	cert   *tls.Certificate
	state  [2]fileState // of the files that cert was read from, or that were refused
	looked time.Time
}

// fileState tells whether a file was changed or replaced.
type fileState struct {
	modified time.Time
	size     int64
}

func newFiles(opt Options) (*files, error) {
	f := &files{opt: opt}
	return f, f.reload()
}

func (f *files) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.opt.Clock.Now()
	if now.Sub(f.looked) < lookEvery {
		return f.cert, nil
	}
	f.looked = now
	state, err := f.look()
	if err == nil && state == f.state {
		return f.cert, nil
	}
	if err == nil {
		err = f.read(state)
	}
	if err != nil {
		// A file half written is looked at again; the old certificate serves on.
		f.opt.Log.Error("the certificate cannot be read, the old one stays", "err", err)
	}
	return f.cert, nil
}

func (f *files) look() (state [2]fileState, err error) {
	for i, name := range []string{f.opt.Cert, f.opt.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return state, fmt.Errorf("certs: %w", err)
		}
		state[i] = fileState{info.ModTime(), info.Size()}
	}
	return state, nil
}

// read loads the files. State is noted also when they are no good, so that each
// change is complained about once.
func (f *files) read(state [2]fileState) error {
	first := f.cert == nil
	f.state = state
	cert, err := tls.LoadX509KeyPair(f.opt.Cert, f.opt.Key)
	if err != nil {
		return fmt.Errorf("certs: %s and %s: %w", f.opt.Cert, f.opt.Key, err)
	}
	f.cert = &cert
	if now := f.opt.Clock.Now(); now.After(cert.Leaf.NotAfter) {
		f.opt.Log.Warn("the certificate is out of date", "file", f.opt.Cert, "since", cert.Leaf.NotAfter)
	}
	if f.opt.Hostname != "" && cert.Leaf.VerifyHostname(f.opt.Hostname) != nil {
		f.opt.Log.Warn("the certificate is not for our host name", "file", f.opt.Cert, "hostname", f.opt.Hostname)
	}
	if !first {
		f.opt.Log.Info("read a new certificate", "file", f.opt.Cert, "until", cert.Leaf.NotAfter)
	}
	return nil
}

func (f *files) leaf() *x509.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cert.Leaf
}

func (f *files) reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = f.opt.Clock.Now()
	state, err := f.look()
	if err != nil {
		return err
	}
	return f.read(state)
}

func (f *files) close() error { return nil }
