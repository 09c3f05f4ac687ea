package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
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

const (
	statusTimeout = 10 * time.Second
	changeTimeout = 40 * time.Second
	maxAnswer     = 64 << 20
)

// get asks for one part of the admin API.
func (f *adminFlags) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	return f.ask(ctx, statusTimeout, http.MethodGet, path, query, nil)
}

// ask is one request to the admin API.
func (f *adminFlags) ask(ctx context.Context, within time.Duration, method, path string, query url.Values, body io.Reader) ([]byte, error) {
	if f.Admin == adminOff {
		return nil, exitWith(exitUsage, errors.New("--admin: off is no address: name that of the gateway, such as 127.0.0.1:7312"))
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	address := url.URL{Scheme: f.scheme(), Host: f.Admin, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), body)
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("--admin: %w", err))
	}
	if err := f.prove(request); err != nil {
		return nil, err
	}
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w: is a gateway running, with this admin address?", err)
		}
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address.String(), err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent {
		return nil, fmt.Errorf("%s answers %s: %s%s", address.String(), response.Status, strings.TrimSpace(string(answer)), wayOut(response.StatusCode))
	}
	return answer, nil
}

// wayOut is what helps after an answer, if anything does.
func wayOut(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return ": show a token of an admin with --token-file"
	case http.StatusForbidden:
		return ": an admin of a tenant may ask for sessions and topics"
	}
	return ""
}
