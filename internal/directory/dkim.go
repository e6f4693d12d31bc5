package directory

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"
)

// makeDKIM makes the two keys of a new domain. The selectors carry the year and
// a letter, so that keys can be changed without a word being used twice.
func makeDKIM(now time.Time) ([]dkimForm, error) {
	name := fmt.Sprintf("%da", now.Year())
	// 2048 bits: the least that signers should and the most that every verifier
	// can use (RFC 8301 section 3.2).
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		return nil, err
	}
	edDER, err := x509.MarshalPKCS8PrivateKey(edKey)
	if err != nil {
		return nil, err
	}
	return []dkimForm{
		{Selector: name + "-rsa", Algorithm: "rsa", Private: rsaDER},
		{Selector: name + "-ed", Algorithm: "ed25519", Private: edDER},
	}, nil
}

// DKIMRecord is the TXT record that publishes a key, at
// <selector>._domainkey.<domain> (RFC 6376 section 3.6.1; RFC 8463 section 4).
func DKIMRecord(k DKIMKey) (string, error) {
	private, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return "", fmt.Errorf("directory: key of selector %s: %w", k.Selector, err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return "", fmt.Errorf("directory: key of selector %s cannot sign", k.Selector)
	}
	var public []byte
	switch p := signer.Public().(type) {
	case *rsa.PublicKey:
		if public, err = x509.MarshalPKIXPublicKey(p); err != nil {
			return "", err
		}
	case ed25519.PublicKey:
		public = p
	default:
		return "", fmt.Errorf("directory: key of selector %s is a %T", k.Selector, p)
	}
	return "v=DKIM1; k=" + k.Algorithm + "; p=" + base64.StdEncoding.EncodeToString(public), nil
}
