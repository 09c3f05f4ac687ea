package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// adminFlags say how the admin address is reached, and with which right.
type adminFlags struct {
	Admin     string `placeholder:"ADDR" default:"127.0.0.1:7312" help:"The gateway's admin address."`
	Token     string `placeholder:"TOKEN" xor:"token" help:"Prove with this token that you may ask. Others on this machine can see it; --token-file and the environment are not seen."`
	TokenFile string `placeholder:"FILE" xor:"token" help:"Read the token from this file."`
	TLS       bool   `name:"tls" noenv:"" help:"The admin address speaks TLS."`
	CA        string `name:"ca" noenv:"" placeholder:"FILE" help:"Believe the certificates in this PEM file, instead of the system's, about who the gateway is. Implies --tls."`
}

// mostToken is larger than any token.
const mostToken = 16 << 10

// scheme is that of the address.
func (f *adminFlags) scheme() string {
	if f.TLS || f.CA != "" {
		return "https"
	}
	return "http"
}

// token is the one to show, empty for none.
func (f *adminFlags) token() (string, error) {
	token := f.Token
	if f.TokenFile != "" {
		text, err := os.ReadFile(f.TokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		if token = strings.TrimSpace(string(text)); token == "" {
			return "", fmt.Errorf("--token-file: %s: no token in it", f.TokenFile)
		}
	}
	// What net/http says of a header that cannot be sent would quote it.
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' || len(token) > mostToken {
			return "", errors.New("--token: this is no token: want one word of letters, digits and signs")
		}
	}
	return token, nil
}

// prove adds the token to a request; its address says whether it would be seen on the way.
func (f *adminFlags) prove(request *http.Request) error {
	token, err := f.token()
	if err != nil || token == "" {
		return exitWith(exitUsage, err)
	}
	if loopback, err := addressIsLoopback(f.Admin); request.URL.Scheme == "http" && (err != nil || !loopback) {
		return exitWith(exitUsage, fmt.Errorf("--token: everyone on the way to %s could read it: use --tls", f.Admin))
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// client is one that believes whom it should.
func (f *adminFlags) client() (*http.Client, error) {
	if f.CA == "" {
		return http.DefaultClient, nil
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--ca: %w", err))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, exitWith(exitUsage, fmt.Errorf("--ca: %s: no certificate in it: want PEM", f.CA))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	return &http.Client{Transport: transport}, nil
}
