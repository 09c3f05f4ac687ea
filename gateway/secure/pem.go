package secure

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// The types of PEM blocks that are read and written here.
const (
	pemCertificate = "CERTIFICATE"
	pemList        = "X509 CRL"
	pemPrivateKey  = "PRIVATE KEY" // PKCS #8, of any algorithm
	pemPublicKey   = "PUBLIC KEY"
)

// ParseCertificates reads all certificates of a file, PEM or DER. Anything else
// in it is an error, a private key first of all.
func ParseCertificates(file []byte) ([]*x509.Certificate, error) {
	return parseAll(file, pemCertificate, "certificate", x509.ParseCertificate)
}

// ParseRevocationLists reads all revocation lists of a file, PEM or DER.
func ParseRevocationLists(file []byte) ([]*x509.RevocationList, error) {
	return parseAll(file, pemList, "revocation list", x509.ParseRevocationList)
}

// parseAll reads the blocks of a PEM file, all of one type, or one thing in DER.
func parseAll[T any](file []byte, kind, what string, parse func([]byte) (T, error)) ([]T, error) {
	var all []T
	block, rest := pem.Decode(file)
	if block == nil {
		one, err := parse(file)
		if err != nil {
			return nil, fmt.Errorf("no %s in it: want PEM (-----BEGIN %s-----) or DER", what, kind)
		}
		return append(all, one), nil
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != kind {
			return nil, fmt.Errorf("holds a %s: want %ss only", block.Type, what)
		}
		one, err := parse(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s %d of the file: %w", what, len(all)+1, err)
		}
		all = append(all, one)
	}
	if bytes.Contains(rest, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("what follows %s %d is torn", what, len(all))
	}
	return all, nil
}

// ParseTokenKey reads the public key that verifies tokens.
func ParseTokenKey(file []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(file)
	switch {
	case block == nil:
		return nil, fmt.Errorf("no public key in it: want PEM (-----BEGIN %s-----)", pemPublicKey)
	case block.Type == pemPrivateKey:
		return nil, errors.New("is the private key, which stays with whoever issues tokens: want the public key beside it")
	case block.Type != pemPublicKey:
		return nil, fmt.Errorf("holds a %s: want a %s", block.Type, pemPublicKey)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("is no Ed25519 key: make one with `bellwire token key`")
	}
	return public, nil
}

// ParseTokenPrivateKey reads the key that signs tokens.
func ParseTokenPrivateKey(file []byte) (ed25519.PrivateKey, error) {
	key, err := parsePrivateKey(file)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("is no Ed25519 key: make one with `bellwire token key`")
	}
	return private, nil
}

// TokenKeyID is the kid of a key: the first 8 bytes of its SHA-256 in hexadecimal
// digits.
func TokenKeyID(key ed25519.PublicKey) string {
	hash := sha256.Sum256(key)
	return hex.EncodeToString(hash[:8])
}

func parsePrivateKey(file []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case pemPrivateKey:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("is encrypted: decrypt it with `openssl pkey`")
		default:
			continue // parameters of a curve, a certificate beside the key
		}
		signer, ok := key.(crypto.Signer)
		if err == nil && !ok {
			err = errors.New("is not a key to sign with")
		}
		return signer, err
	}
	return nil, fmt.Errorf("no private key in it: want PEM (-----BEGIN %s-----)", pemPrivateKey)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodePrivateKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return encodePEM(pemPrivateKey, der), nil
}
