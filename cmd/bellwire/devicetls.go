package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// tlsFlags are how a device speaks TLS, and shows who it is with a certificate.
type tlsFlags struct {
	TLS        bool   `name:"tls" help:"Speak TLS; --ca, --cert, --key, --server-name and --curves=x25519 say so too."`
	CA         string `name:"ca" placeholder:"FILE" help:"Certificates (PEM) of those whom to believe when a gateway shows its own. Default: those of the system."`
	Cert       string `placeholder:"FILE" help:"Certificate of this device (PEM), and of those between it and its CA; read again at each connect."`
	Key        string `placeholder:"FILE" help:"Private key of the certificate (PEM). Default: it is in the file of --cert."`
	ServerName string `placeholder:"NAME" help:"Name that the gateway's certificate must have. Default: the host of the address."`
	Curves     string `enum:"auto,x25519" default:"auto" help:"Key exchange: auto withstands quantum computers, x25519 takes a third of the bytes."`
}

// wanted: some flag asks for TLS.
func (f *tlsFlags) wanted() bool {
	return f.TLS || f.CA != "" || f.Cert != "" || f.Key != "" || f.ServerName != "" || f.Curves == "x25519"
}

// config is what the flags ask for; nil for plain TCP.
func (f *tlsFlags) config() (*tls.Config, error) {
	if !f.wanted() {
		return nil, nil
	}
	if f.Key != "" && f.Cert == "" {
		return nil, exitWith(exitUsage, errors.New("--key: a key alone proves nothing: name its certificate with --cert FILE"))
	}
	config := &tls.Config{ServerName: f.ServerName, MinVersion: tls.VersionTLS13}
	if f.Curves == "x25519" {
		config.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	var err error
	if f.CA != "" {
		if config.RootCAs, err = readCAs(f.CA); err != nil {
			return nil, err
		}
	}
	if f.Cert != "" {
		if _, err := f.certificate(); err != nil {
			return nil, err
		}
		// Whatever CAs the gateway names: if it is the wrong certificate, the gateway says why.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.certificate() }
	}
	return config, nil
}

// readCAs reads the certificates of issuers; a file without one is a mistake.
func readCAs(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool, found := x509.NewCertPool(), false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("--ca: %s holds a %s: want certificates in PEM and nothing else", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("--ca: %s: %w", path, err)
		}
		pool.AddCert(cert)
		found = true
	}
	if !found {
		return nil, fmt.Errorf("--ca: %s: no certificate in it: want PEM, which begins with -----BEGIN CERTIFICATE-----", path)
	}
	return pool, nil
}

// certificate reads the device's certificate and its key.
func (f *tlsFlags) certificate() (*tls.Certificate, error) {
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return nil, fmt.Errorf("--cert: %w", err)
	}
	key, keyFlag, keyFile := cert, "--cert", f.Cert
	if f.Key != "" {
		keyFlag, keyFile = "--key", f.Key
		if key, err = os.ReadFile(f.Key); err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
	}
	switch {
	case !bytes.Contains(cert, []byte("-----BEGIN CERTIFICATE-----")):
		return nil, fmt.Errorf("--cert: %s: no certificate in it: want PEM, which begins with -----BEGIN CERTIFICATE-----", f.Cert)
	case f.Key == "" && !bytes.Contains(key, []byte("PRIVATE KEY-----")):
		return nil, fmt.Errorf("--cert: %s has no private key: name its file with --key FILE", f.Cert)
	case !bytes.Contains(key, []byte("PRIVATE KEY-----")):
		return nil, fmt.Errorf("--key: %s: no private key in it: want PEM, as in -----BEGIN PRIVATE KEY-----", f.Key)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", keyFlag, keyFile, err)
	}
	return &pair, nil
}

// explain adds to an error of the first connect which flag helps.
func (f *deviceFlags) explain(err error) error {
	var host x509.HostnameError
	var issuer x509.UnknownAuthorityError
	var stopped *client.StoppedError
	switch {
	case errors.As(err, &host):
		return fmt.Errorf("%w: connect by a name that it has, or say with --server-name which one is meant", err)
	case errors.As(err, &issuer) && f.CA != "":
		return fmt.Errorf("%w: its issuer is not in %s (--ca)", err, f.CA)
	case errors.As(err, &issuer):
		return fmt.Errorf("%w: --ca FILE names whom to believe", err)
	case errors.Is(err, client.ErrNoTLS):
		return fmt.Errorf("%w: connect to the gateway's port for TLS, 7315 unless it was told another, or leave TLS out", err)
	case errors.Is(err, client.ErrWantsTLS):
		return fmt.Errorf("%w: --tls speaks it", err)
	case errors.As(err, &stopped) && stopped.Code == wire.CodeMalformed && !f.wanted() && strings.Contains(stopped.Text, "TLS"):
		return fmt.Errorf("%w: --tls speaks it", err)
	case errors.As(err, &stopped) && stopped.Code == wire.CodeNotAuthenticated && f.Cert == "" && !f.tokenFlags.given():
		return fmt.Errorf("%w: prove who this is with --cert and --key, or with --token-file", err)
	}
	return err
}
