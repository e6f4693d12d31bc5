package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeCA is an authority that speaks as much of RFC 8555 as a client needs and
// checks the challenge as a real one does, but no signatures.
type fakeCA struct {
	*httptest.Server
	t         *testing.T
	challenge string // "http-01" or "tls-alpn-01"
	target    string // where the host to check listens

	key  *ecdsa.PrivateKey
	root *x509.Certificate

	mu     sync.Mutex
	nonce  int
	name   string
	valid  bool
	reason error
	chain  []byte
}

func newFakeCA(t *testing.T, challenge, target string) *fakeCA {
	ca := &fakeCA{t: t, challenge: challenge, target: target}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Fake Root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ca.Server = httptest.NewServer(http.HandlerFunc(ca.handle))
	t.Cleanup(ca.Close)
	return ca
}

func (ca *fakeCA) handle(w http.ResponseWriter, r *http.Request) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.nonce++
	w.Header().Set("Replay-Nonce", fmt.Sprint("nonce", ca.nonce))
	var jws struct{ Payload string }
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
			ca.t.Error(err)
		}
	}
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	answer := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/dir":
		answer(200, map[string]string{"newNonce": ca.URL + "/nonce", "newAccount": ca.URL + "/account", "newOrder": ca.URL + "/order"})
	case "/nonce":
	case "/account":
		w.Header().Set("Location", ca.URL+"/account/1")
		answer(201, map[string]string{"status": "valid"})
	case "/order":
		var order struct{ Identifiers []struct{ Value string } }
		_ = json.Unmarshal(payload, &order)
		ca.name = order.Identifiers[0].Value
		w.Header().Set("Location", ca.URL+"/order/1")
		answer(201, ca.order())
	case "/order/1":
		answer(200, ca.order())
	case "/authz":
		answer(200, map[string]any{"status": ca.status(), "identifier": ca.identifier(), "challenges": []any{ca.chal()}})
	case "/challenge":
		if !ca.valid {
			ca.reason = ca.check()
			ca.valid = ca.reason == nil
		}
		answer(200, ca.chal())
	case "/finalize":
		var f struct{ CSR string }
		_ = json.Unmarshal(payload, &f)
		ca.sign(f.CSR)
		answer(200, ca.order())
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(ca.chain)
	default:
		http.NotFound(w, r)
	}
}

func (ca *fakeCA) identifier() any { return map[string]string{"type": "dns", "value": ca.name} }

func (ca *fakeCA) status() string {
	switch {
	case ca.valid:
		return "valid"
	case ca.reason != nil:
		return "invalid"
	}
	return "pending"
}

func (ca *fakeCA) chal() any {
	return map[string]any{"type": ca.challenge, "url": ca.URL + "/challenge", "token": "the-token", "status": ca.status()}
}

func (ca *fakeCA) order() any {
	status := map[bool]string{false: "pending", true: "ready"}[ca.valid]
	if ca.chain != nil {
		status = "valid"
	}
	return map[string]any{"status": status, "identifiers": []any{ca.identifier()}, "authorizations": []string{ca.URL + "/authz"},
		"finalize": ca.URL + "/finalize", "certificate": ca.URL + "/cert"}
}

// check looks for the answer to the challenge.
func (ca *fakeCA) check() error {
	if ca.challenge == "tls-alpn-01" {
		conn, err := tls.Dial("tcp", ca.target, &tls.Config{ServerName: ca.name, NextProtos: []string{acmeProtocol}, InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer conn.Close()
		for _, e := range conn.ConnectionState().PeerCertificates[0].Extensions {
			if e.Id.String() == "1.3.6.1.5.5.7.1.31" && conn.ConnectionState().NegotiatedProtocol == acmeProtocol {
				return nil
			}
		}
		return fmt.Errorf("no acmeIdentifier in the certificate")
	}
	req, err := http.NewRequest("GET", "http://"+ca.target+"/.well-known/acme-challenge/the-token", nil)
	if err != nil {
		return err
	}
	req.Host = ca.name
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(body), "the-token.") {
		return fmt.Errorf("%s %q %v", resp.Status, body, err)
	}
	return nil
}

func (ca *fakeCA) sign(csr string) {
	der, err := base64.RawURLEncoding.DecodeString(csr)
	if err != nil {
		ca.t.Error(err)
		return
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		ca.t.Error(err)
		return
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: req.DNSNames, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(20 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, ca.root, req.PublicKey, ca.key)
	if err != nil {
		ca.t.Error(err)
		return
	}
	ca.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})...)
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
