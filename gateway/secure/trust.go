package secure

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Config is what a gateway shows devices to prove itself, and what it believes
// of them. The zero value believes nobody and has no TLS.
type Config struct {
	// Certificates are the gateway's own, with their keys. Empty: no TLS.
	Certificates []tls.Certificate
	// DeviceCAs are the issuers of device certificates. Empty: none are asked for.
	DeviceCAs []CA
	// Mapping is how a certificate names a device: a kind (uri, dns or cn) and a
	// template, such as "dns:{device}.{tenant}.devices.example". One without
	// {tenant} takes the tenant that the CA is bound to. Default: DefaultMapping.
	Mapping string
	// CRLs are revocation lists, each signed by one of DeviceCAs. All of them
	// count, also those whose next update is overdue: see Warnings.
	CRLs []*x509.RevocationList
	// Curves are the key exchanges of the handshake. Default: Go's choice.
	Curves []tls.CurveID
	// TicketSecrets, of at least 32 bytes each, make session tickets that other
	// gateways with the same ones open: the first makes them, all open them.
	// Empty: a random one of this Trust.
	TicketSecrets [][]byte
	// TokenKeys verify tokens.
	TokenKeys []TokenKey
	// StaticKeys are those of small set-ups.
	StaticKeys []StaticKey
	// Revoked is what was withdrawn by hand.
	Revoked Revoked
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// CA is who issues certificates to devices.
type CA struct {
	// Roots are its certificates: more than one while the old is replaced by the
	// new. An intermediate may stand here instead of the root above it.
	Roots []*x509.Certificate
	// Tenant is the only one that it speaks for. Empty: any.
	Tenant string
}

// TokenKey verifies tokens.
type TokenKey struct {
	// ID is the kid in the header of the tokens. Empty: it verifies tokens without kid.
	ID  string
	Key ed25519.PublicKey
	// Tenant is the only one that it speaks for. Empty: any.
	Tenant string
}

// ConfigError says which part of a Config cannot be used, and why.
type ConfigError struct {
	Field  string // such as DeviceCAs[1].Roots[0]
	Reason string // with the way out
}

// Error names both.
func (e *ConfigError) Error() string { return "secure: " + e.Field + ": " + e.Reason }

func badField(reason, field string, index ...any) error {
	return &ConfigError{Field: fmt.Sprintf(field, index...), Reason: reason}
}

// Trust decides who a device is. It is immutable and safe for concurrent use; a
// reload makes a new one.
type Trust struct {
	now          func() time.Time
	tickets      *tickets // hands out what all connections have in common; nil: no TLS
	certificates []tls.Certificate

	naming  mapping
	anchors []*x509.Certificate // the roots of all DeviceCAs
	roots   *x509.CertPool      // the same
	tenants map[string][]string // by the DER of a root: whom it speaks for, "" being any
	crls    revocationLists
	keys    map[string]TokenKey // by ID
	static  staticKeys
	revoked revokedSets
}

// minTicketSecret is what HKDF-SHA256 needs to be as strong as the tickets' cipher.
const minTicketSecret = 32

// NewTrust checks cfg and keeps copies of its lists. Its error is a *ConfigError.
func NewTrust(cfg Config) (*Trust, error) {
	t := &Trust{now: cfg.Now, tenants: map[string][]string{}, roots: x509.NewCertPool()}
	if t.now == nil {
		t.now = time.Now
	}
	for _, step := range []func(*Config) error{
		t.takeCertificates, t.takeMapping, t.takeCAs, t.takeCRLs, t.takeTickets, t.takeTokenKeys, t.takeStaticKeys, t.takeRevoked,
	} {
		if err := step(&cfg); err != nil {
			return nil, err
		}
	}
	if t.HasTLS() {
		base := serverConfig(t.certificates, cfg.Curves, t.now)
		if !t.provesByCertificate() {
			base.ClientAuth = tls.NoClientCert // asking costs bytes
		}
		t.tickets = newTickets(base, cfg.TicketSecrets)
	}
	return t, nil
}

// ProvesDevices reports whether any device can prove who it is.
func (t *Trust) ProvesDevices() bool {
	return t.provesByCertificate() || len(t.keys) > 0 || len(t.static) > 0
}

// HasTLS reports whether the gateway has a certificate of its own.
func (t *Trust) HasTLS() bool { return len(t.certificates) > 0 }

// Certificates are the gateway's own, for other listeners of it. They must not be
// changed.
func (t *Trust) Certificates() []tls.Certificate { return t.certificates }

func (t *Trust) provesByCertificate() bool { return len(t.tenants) > 0 }

// Server is a new TLS connection of a device; HasTLS has to be true.
func (t *Trust) Server() *Conn { return newConn(t.tickets.config(t.now()), t.verdict) }

func (t *Trust) takeCertificates(cfg *Config) error {
	for i, c := range cfg.Certificates {
		if len(c.Certificate) == 0 {
			return badField("there is no certificate in it", "Certificates[%d]", i)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			return badField(err.Error(), "Certificates[%d]", i)
		}
		if !isKeyOf(c.PrivateKey, leaf) {
			return badField("its private key belongs to another certificate, or is missing", "Certificates[%d]", i)
		}
		if !allows(leaf, x509.ExtKeyUsageServerAuth) {
			return badField("is not for servers: its extended key usage lacks serverAuth", "Certificates[%d]", i)
		}
		c.Leaf = leaf
		t.certificates = append(t.certificates, c)
	}
	return nil
}

// isKeyOf reports whether key is the private half of the key in c.
func isKeyOf(key crypto.PrivateKey, c *x509.Certificate) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(signer.Public())
}

// allows reports whether a certificate may be used so; one that says nothing may.
func allows(c *x509.Certificate, use x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, allowed := range c.ExtKeyUsage {
		if allowed == use || allowed == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

func (t *Trust) takeMapping(cfg *Config) (err error) {
	text := cfg.Mapping
	if text == "" {
		text = DefaultMapping
	}
	if t.naming, err = parseMapping(text); err != nil {
		return badField(err.Error(), "Mapping")
	}
	return nil
}

func (t *Trust) takeCAs(cfg *Config) error {
	if len(cfg.DeviceCAs) > 0 && !t.HasTLS() {
		return badField("devices show certificates in TLS only, and there is no certificate of the gateway: give Certificates too", "DeviceCAs")
	}
	for i, ca := range cfg.DeviceCAs {
		if len(ca.Roots) == 0 {
			return badField("there is no certificate in it", "DeviceCAs[%d].Roots", i)
		}
		if err := checkTenant(ca.Tenant); err != nil {
			return badField(err.Error(), "DeviceCAs[%d].Tenant", i)
		}
		if ca.Tenant == "" && !t.naming.hasTenant {
			return badField("Mapping "+cfg.Mapping+" names no tenant: bind each CA to one", "DeviceCAs[%d].Tenant", i)
		}
		for j, root := range ca.Roots {
			if root == nil || !root.BasicConstraintsValid || !root.IsCA {
				return badField("is no CA certificate: name the one that issued the devices' certificates", "DeviceCAs[%d].Roots[%d]", i, j)
			}
			if root.KeyUsage != 0 && root.KeyUsage&x509.KeyUsageCertSign == 0 {
				return badField("may not sign certificates: its key usage lacks keyCertSign", "DeviceCAs[%d].Roots[%d]", i, j)
			}
			t.anchors = append(t.anchors, root)
			t.roots.AddCert(root)
			t.tenants[string(root.Raw)] = append(t.tenants[string(root.Raw)], ca.Tenant)
		}
	}
	return nil
}

// checkTenant checks a tenant that something is bound to; empty is none.
func checkTenant(tenant string) error {
	if tenant == "" {
		return nil
	}
	return wire.Identity{Tenant: tenant, Device: "any"}.Check()
}

func (t *Trust) takeTickets(cfg *Config) error {
	secrets := make([][]byte, 0, len(cfg.TicketSecrets))
	for i, secret := range cfg.TicketSecrets {
		if len(secret) < minTicketSecret {
			return badField(fmt.Sprintf("has %d bytes: want at least %d random ones", len(secret), minTicketSecret), "TicketSecrets[%d]", i)
		}
		secrets = append(secrets, bytes.Clone(secret))
	}
	cfg.TicketSecrets = secrets
	return nil
}

func (t *Trust) takeTokenKeys(cfg *Config) error {
	t.keys = make(map[string]TokenKey, len(cfg.TokenKeys))
	for i, key := range cfg.TokenKeys {
		if len(key.Key) != ed25519.PublicKeySize {
			return badField(fmt.Sprintf("has %d bytes: want the %d of an Ed25519 public key", len(key.Key), ed25519.PublicKeySize), "TokenKeys[%d].Key", i)
		}
		if err := checkTenant(key.Tenant); err != nil {
			return badField(err.Error(), "TokenKeys[%d].Tenant", i)
		}
		if _, twice := t.keys[key.ID]; twice {
			return badField(fmt.Sprintf("%q is the ID of two keys: one token would be signed by either", key.ID), "TokenKeys[%d].ID", i)
		}
		key.Key = append(ed25519.PublicKey(nil), key.Key...)
		t.keys[key.ID] = key
	}
	return nil
}

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// Warnings are what a person should look at: certificates of the gateway and of
// CAs that have ended or will within 30 days, and revocation lists that are
// overdue. Those still count: what they revoke stays revoked, but of what was
// revoked since nobody here knows.
func (t *Trust) Warnings() []string {
	var all []string
	now := t.now()
	warn := func(what string, end time.Time) {
		switch {
		case now.After(end):
			all = append(all, fmt.Sprintf("%s has expired on %s", what, date(end)))
		case now.Add(soon).After(end):
			all = append(all, fmt.Sprintf("%s expires on %s", what, date(end)))
		}
	}
	for _, c := range t.certificates {
		warn("the gateway's certificate "+serialText(c.Leaf.SerialNumber), c.Leaf.NotAfter)
	}
	for _, root := range t.anchors {
		warn("the device CA "+root.Subject.String(), root.NotAfter)
	}
	all = append(all, t.crls.overdue(now)...)
	return all
}

func date(at time.Time) string { return at.UTC().Format(time.DateOnly) }
