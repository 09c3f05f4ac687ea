package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// trustPaths are the settings that say what a gateway proves itself with and what it believes; empty ones are left out.
type trustPaths struct {
	Certificate string   // tls.certificate
	Key         string   // tls.key
	DeviceCA    []string // tls.device_ca; TENANT=FILE binds one
	CRL         []string // tls.crl
	Mapping     string   // tls.mapping
	Curves      string   // tls.curves: auto, x25519
	Tickets     string   // tls.tickets
	Drawn       []byte   // a secret to make session tickets with where Tickets is empty; nil: each Trust draws its own
	TokenKeys   []string // tokens.keys; TENANT=FILE binds one
	Static      string   // tokens.static
	Revoked     string   // revoked
}

// loadTrust reads all files. A file that is named and cannot be used is an error, never a gateway that asks for less:
// errors name setting, file and way out.
func loadTrust(paths trustPaths) (secure.Config, error) {
	cfg := secure.Config{Mapping: paths.Mapping}
	for _, step := range []func(*secure.Config) error{
		paths.certificate, paths.curves, paths.deviceCAs, paths.crls, paths.tickets, paths.tokenKeys, paths.static, paths.revoked,
	} {
		if err := step(&cfg); err != nil {
			return secure.Config{}, err
		}
	}
	return cfg, nil
}

// newTrust loads what is believed and checks that it goes together.
func newTrust(paths trustPaths) (*secure.Trust, error) {
	cfg, err := loadTrust(paths)
	if err != nil {
		return nil, err
	}
	if len(cfg.TicketSecrets) == 0 && len(paths.Drawn) > 0 {
		cfg.TicketSecrets = [][]byte{paths.Drawn}
	}
	trust, err := secure.NewTrust(cfg)
	var wrong *secure.ConfigError
	if errors.As(err, &wrong) {
		err = fmt.Errorf("%s: %s", settingOf(wrong.Field), wrong.Reason)
	}
	return trust, err
}

// settingOf is the setting that a field of secure.Config comes from.
func settingOf(field string) string {
	name, index := field, ""
	if cut := strings.IndexAny(field, ".["); cut >= 0 {
		name, index = field[:cut], field[cut:]
	}
	switch name {
	case "Certificates":
		return "tls.certificate"
	case "DeviceCAs":
		// One entry of the setting is one CA; that of its certificates says little.
		first, _, _ := strings.Cut(index, ".")
		return "tls.device_ca" + first
	case "CRLs":
		return "tls.crl"
	case "Mapping":
		return "tls.mapping"
	case "TicketSecrets":
		return "tls.tickets"
	case "TokenKeys":
		first, _, _ := strings.Cut(index, ".")
		return "tokens.keys" + first
	case "StaticKeys":
		return "tokens.static"
	case "Revoked":
		return "revoked"
	}
	return field
}

// inFile names setting and file in front of an error.
func inFile(setting, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", setting, path, err)
}

func (p *trustPaths) certificate(cfg *secure.Config) error {
	switch {
	case p.Certificate == "" && p.Key == "":
		return nil
	case p.Key == "":
		return errors.New("tls.key is missing: tls.certificate needs the private key that belongs to it")
	case p.Certificate == "":
		return errors.New("tls.certificate is missing: tls.key needs the certificate that belongs to it")
	}
	certificate, err := readCredential(p.Certificate)
	if err != nil {
		return inFile("tls.certificate", p.Certificate, err)
	}
	key, err := readSecret(p.Key)
	if err != nil {
		return inFile("tls.key", p.Key, err)
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return inFile("tls.key", p.Key, errors.New("is encrypted, and nobody is there to type a password: decrypt it with `openssl pkey`"))
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("tls.certificate: %s, tls.key: %s: %w", p.Certificate, p.Key, err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return nil
}

func (p *trustPaths) curves(cfg *secure.Config) error {
	switch p.Curves {
	case "", "auto":
	case "x25519":
		cfg.Curves = []tls.CurveID{tls.X25519}
	default:
		return fmt.Errorf("tls.curves: %q is not known: write auto, or x25519 for the shortest handshake", p.Curves)
	}
	return nil
}

// bound parts TENANT=FILE. What stands before the sign is a tenant only if it can be one, so that a path may have the sign
// in it.
func bound(entry string) (tenant, path string) {
	before, after, found := strings.Cut(entry, "=")
	if !found || (wire.Identity{Tenant: before, Device: "any"}).Check() != nil {
		return "", entry
	}
	return before, after
}

func entryOf(setting string, i int) string { return fmt.Sprintf("%s[%d]", setting, i) }

func (p *trustPaths) deviceCAs(cfg *secure.Config) error {
	if len(p.DeviceCA) > 0 && p.Certificate == "" {
		return errors.New("tls.certificate is missing: devices show the certificates of tls.device_ca in TLS only")
	}
	for i, entry := range p.DeviceCA {
		tenant, path := bound(entry)
		content, err := readCredential(path)
		if err != nil {
			return inFile(entryOf("tls.device_ca", i), path, err)
		}
		ca := secure.CA{Tenant: tenant}
		if ca.Roots, err = secure.ParseCertificates(content); err != nil {
			return inFile(entryOf("tls.device_ca", i), path, err)
		}
		for _, root := range ca.Roots {
			if !root.IsCA {
				return inFile(entryOf("tls.device_ca", i), path, errors.New("is not that of a CA: want the one that issued the devices' certificates"))
			}
		}
		cfg.DeviceCAs = append(cfg.DeviceCAs, ca)
	}
	return nil
}

func (p *trustPaths) crls(cfg *secure.Config) error {
	for i, path := range p.CRL {
		content, err := readCredential(path)
		if err != nil {
			return inFile(entryOf("tls.crl", i), path, err)
		}
		lists, err := secure.ParseRevocationLists(content)
		if err != nil {
			return inFile(entryOf("tls.crl", i), path, err)
		}
		cfg.CRLs = append(cfg.CRLs, lists...)
	}
	return nil
}

// tickets reads a secret in hexadecimal digits from each line. Errors quote nothing of it.
func (p *trustPaths) tickets(cfg *secure.Config) error {
	if p.Tickets == "" {
		return nil
	}
	content, err := readSecret(p.Tickets)
	if err != nil {
		return inFile("tls.tickets", p.Tickets, err)
	}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := hex.DecodeString(line)
		if err != nil || len(secret) < 32 {
			return inFile("tls.tickets", p.Tickets, fmt.Errorf("line %d: want at least 64 hexadecimal digits, as `bellwire cert tickets` makes them", number))
		}
		cfg.TicketSecrets = append(cfg.TicketSecrets, secret)
	}
	if len(cfg.TicketSecrets) == 0 {
		return inFile("tls.tickets", p.Tickets, errors.New("there is no secret in it: make one with `bellwire cert tickets`"))
	}
	return nil
}

func (p *trustPaths) tokenKeys(cfg *secure.Config) error {
	for i, entry := range p.TokenKeys {
		tenant, path := bound(entry)
		content, err := readCredential(path)
		var key ed25519.PublicKey
		if err == nil {
			key, err = secure.ParseTokenKey(content)
		}
		if err != nil {
			return inFile(entryOf("tokens.keys", i), path, err)
		}
		cfg.TokenKeys = append(cfg.TokenKeys, secure.TokenKey{ID: secure.TokenKeyID(key), Key: key, Tenant: tenant})
	}
	return nil
}

// static takes a file without any key as a mistake: who has none leaves the setting out.
func (p *trustPaths) static(cfg *secure.Config) error {
	if p.Static == "" {
		return nil
	}
	content, err := readCredential(p.Static)
	if err == nil {
		cfg.StaticKeys, err = secure.ParseStaticKeys(content)
	}
	if err == nil && len(cfg.StaticKeys) == 0 {
		err = errors.New("there is no key in it: `bellwire token issue --static` appends one")
	}
	return inFile("tokens.static", p.Static, err)
}

// revoked may be a file with nothing in it: nothing was revoked yet.
func (p *trustPaths) revoked(cfg *secure.Config) error {
	if p.Revoked == "" {
		return nil
	}
	content, err := readAny(p.Revoked)
	if err == nil {
		cfg.Revoked, err = secure.ParseRevoked(content)
	}
	return inFile("revoked", p.Revoked, err)
}
