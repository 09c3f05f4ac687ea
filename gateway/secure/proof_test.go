package secure

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// TestCheckCertificate is what a reload does to a session that a certificate has
// proven.
func TestCheckCertificate(t *testing.T) {
	root := rootAuthority(t)
	below := subAuthority(t, root, nil)
	leaf := deviceCertificate(t, below)
	other := newAuthority(t, "others")
	p, err := prove(trusting(t, nil, root), leaf, below.certificate)
	require.NoError(t, err)
	reread, err := x509.ParseCertificate(root.certificate.Raw)
	require.NoError(t, err)

	for name, test := range map[string]struct {
		now  *Trust
		code wire.Code
		text string
	}{
		"nothing new":              {trusting(t, nil, root), wire.CodeOK, ""},
		"the file read again":      {trusting(t, nil, &Authority{reread, nil}), wire.CodeOK, ""},
		"one CA more":              {trusting(t, nil, other, root), wire.CodeOK, ""},
		"the CA gone":              {trusting(t, nil, other), wire.CodeNotAuthenticated, "unknown issuer"},
		"no CA at all":             {trusting(t, nil), wire.CodeNotAuthenticated, "unknown issuer"},
		"tokens only":              {tokenTrust(t, nil), wire.CodeNotAuthenticated, "unknown issuer"},
		"the intermediate instead": {trusting(t, nil, below), wire.CodeOK, ""},
		"device revoked":           {trusting(t, func(c *Config) { c.Revoked.Devices = []wire.Identity{kitchen} }, root), wire.CodeRevoked, "device revoked"},
		"serial revoked":           {trusting(t, func(c *Config) { c.Revoked.Serials = []string{leaf.SerialNumber.Text(16)} }, root), wire.CodeRevoked, "revoked"},
		"issuer revoked":           {trusting(t, with(revoking(t, root, nil, below.certificate)), root), wire.CodeRevoked, "revoked"},
		"revoked by the issuer":    {trusting(t, with(revoking(t, below, nil, leaf)), root, below), wire.CodeRevoked, "revoked"},
		"bound to its tenant":      {trusting(t, boundTo(root, "acme")), wire.CodeOK, ""},
		"bound to another tenant":  {trusting(t, boundTo(root, "beta")), wire.CodeOtherTenant, "tenant acme"},
		"another mapping":          {trusting(t, func(c *Config) { c.Mapping = "dns:{device}.{tenant}.example" }, root), wire.CodeNotAuthenticated, "names no device"},
		"a mapping of its own":     {trusting(t, func(c *Config) { c.Mapping = "cn:{device}"; boundTo(root, "beta")(c) }), wire.CodeNotAuthenticated, "another device by now"},
		"a mapping that agrees":    {trusting(t, func(c *Config) { c.Mapping = "cn:{device}"; boundTo(root, "acme")(c) }), wire.CodeOK, ""},
		"a year later":             {trusting(t, func(c *Config) { c.Now = at(year.end()) }, root), wire.CodeTokenExpired, "expired on"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.now.Check(p)
			if test.code == wire.CodeOK {
				require.NoError(t, err)
				return
			}
			refused(t, err, test.code, test.text)
		})
	}
}

func boundTo(a *Authority, tenant string) func(*Config) {
	return func(c *Config) {
		c.DeviceCAs = append(c.DeviceCAs, CA{Roots: []*x509.Certificate{a.certificate}, Tenant: tenant})
	}
}

// TestCheckKeepsSessionsWhenACAIsRenewed: the certificate is new, name and key are
// the same.
func TestCheckKeepsSessionsWhenACAIsRenewed(t *testing.T) {
	ca := newAuthority(t, "devices")
	p, err := prove(trusting(t, nil, ca), deviceCertificate(t, ca))
	require.NoError(t, err)
	next := *ca.certificate
	next.SerialNumber, next.NotAfter = nil, year.end().AddDate(5, 0, 0)
	renewed := forge(t, &Authority{ca.certificate, ca.key}, &next)
	require.NotEqual(t, ca.certificate.PublicKey, renewed.PublicKey)
	refused(t, trusting(t, nil, &Authority{renewed, ca.key}).Check(p), wire.CodeNotAuthenticated, "unknown issuer")
	again := &Authority{selfSign(t, ca, &next), ca.key}
	require.NoError(t, trusting(t, nil, again).Check(p))
	err = trusting(t, func(c *Config) { c.Mapping = "cn:{device}"; boundTo(again, "beta")(c) }).Check(p)
	refused(t, err, wire.CodeNotAuthenticated, "another device by now")
}

// TestCheckForgetsChainsThatHaveEnded: the proof lasts as long as its longest chain, and the CA of that one is gone.
func TestCheckForgetsChainsThatHaveEnded(t *testing.T) {
	long := newAuthority(t, "devices")
	brief := *long.certificate
	brief.SerialNumber, brief.NotAfter = nil, today.Add(time.Hour)
	short := &Authority{selfSign(t, long, &brief), long.key}
	p, err := prove(trusting(t, nil, short, long), deviceCertificate(t, long))
	require.NoError(t, err)
	require.Equal(t, year.end(), p.Expires)
	later := func(c *Config) { c.Now = at(today.Add(2 * time.Hour)) }
	require.NoError(t, trusting(t, later, short, long).Check(p))
	refused(t, trusting(t, later, short).Check(p), wire.CodeNotAuthenticated, "not valid now")
}

func TestCheckToken(t *testing.T) {
	token := []byte(signedText(seeded(1), goodHead, goodPayload(`,"jti":"t-1"`)))
	p, err := tokenTrust(t, nil).Token(token)
	require.NoError(t, err)
	keys := func(keys ...TokenKey) func(*Config) { return func(c *Config) { c.TokenKeys = keys } }
	public := publicOf(seeded(1))
	for name, test := range map[string]struct {
		change func(*Config)
		code   wire.Code
	}{
		"nothing new":         {nil, wire.CodeOK},
		"same key, read anew": {keys(TokenKey{ID: "k1", Key: append(ed25519.PublicKey(nil), public...)}), wire.CodeOK},
		"key gone":            {keys(), wire.CodeNotAuthenticated},
		"another key":         {keys(TokenKey{ID: "k1", Key: publicOf(seeded(4))}), wire.CodeNotAuthenticated},
		"key of its tenant":   {keys(TokenKey{ID: "k1", Key: public, Tenant: "acme"}), wire.CodeOK},
		"key of another":      {keys(TokenKey{ID: "k1", Key: public, Tenant: "beta"}), wire.CodeOtherTenant},
		"token revoked":       {func(c *Config) { c.Revoked.Tokens = []string{"t-1"} }, wire.CodeRevoked},
		"device revoked":      {func(c *Config) { c.Revoked.Devices = []wire.Identity{kitchen} }, wire.CodeRevoked},
		"a second before":     {func(c *Config) { c.Now = at(time.Unix(inAnHour-1, 0)) }, wire.CodeOK},
		"expired":             {func(c *Config) { c.Now = at(time.Unix(inAnHour, 0)) }, wire.CodeTokenExpired},
	} {
		t.Run(name, func(t *testing.T) {
			err := tokenTrust(t, test.change).Check(p)
			if test.code == wire.CodeOK {
				require.NoError(t, err)
				return
			}
			refused(t, err, test.code, "")
		})
	}
}

func TestCheckStaticKey(t *testing.T) {
	secret, key, err := NewStaticKey(StaticKey{Identity: kitchen, Limited: true, Publish: []string{"a"}})
	require.NoError(t, err)
	trust := func(keys ...StaticKey) *Trust {
		made, err := NewTrust(Config{StaticKeys: keys, TokenKeys: []TokenKey{{Key: publicOf(seeded(1))}}})
		require.NoError(t, err)
		return made
	}
	p, err := trust(key).Token([]byte(secret))
	require.NoError(t, err)
	require.NoError(t, trust(key).Check(p))
	refused(t, trust().Check(p), wire.CodeNotAuthenticated, "withdrawn")
	moved := key
	moved.Identity.Device = "hall"
	refused(t, trust(moved).Check(p), wire.CodeNotAuthenticated, "withdrawn")
	wider := key
	wider.Publish = []string{"a", "b"}
	refused(t, trust(wider).Check(p), wire.CodeTokenExpired, "permissions of the key have changed")
}

func TestCheckOfNothing(t *testing.T) {
	nobody, err := NewTrust(Config{})
	require.NoError(t, err)
	require.NoError(t, nobody.Check(nil))
	refused(t, tokenTrust(t, nil).Check(nil), wire.CodeNotAuthenticated, "proven nothing")
	forged := &Proof{Identity: kitchen}
	refused(t, tokenTrust(t, nil).Check(forged), wire.CodeNotAuthenticated, "proven nothing")
	require.Equal(t, "acme/kitchen", forged.String())
}

func TestTextsFitTheirFrame(t *testing.T) {
	err := refuse(wire.CodeRevoked, strings.Repeat("x", wire.MaxRefusalText-1)+"…y")
	refused(t, err, wire.CodeRevoked, "x")
	require.Len(t, err.(*wire.Error).Field, wire.MaxRefusalText-1, "no letter is cut in two") //nolint:errorlint // as it is made
}

// TestJTIIsShownOnlyIfHarmless: it may be any text.
func TestJTIIsShownOnlyIfHarmless(t *testing.T) {
	for jti, want := range map[string]string{"": "token", "t-1": "token t-1", "a b": "token", "x\nlevel=error": "token", strings.Repeat("x", 65): "token"} {
		require.Equal(t, want, fmt.Sprint(&byToken{jti: jti}))
	}
}

// TestTrustIsSharedByLoops: it is asked from many goroutines at once, which the race detector watches.
func TestTrustIsSharedByLoops(t *testing.T) {
	ca := newAuthority(t, "devices")
	leaf := deviceCertificate(t, ca)
	trust := trusting(t, func(c *Config) {
		c.CRLs = []*x509.RevocationList{revoking(t, ca, nil)}
		c.TokenKeys = []TokenKey{{ID: "k1", Key: publicOf(seeded(1))}}
	}, ca)
	token := []byte(signedText(seeded(1), goodHead, goodPayload("")))
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for range 20 {
				byCertificate, err := prove(trust, leaf)
				if err == nil {
					err = trust.Check(byCertificate)
				}
				byToken, tokenErr := trust.Token(token)
				if tokenErr == nil {
					tokenErr = trust.Check(byToken)
				}
				if err != nil || tokenErr != nil {
					t.Error(err, tokenErr)
				}
			}
		})
	}
	loops.Wait()
}
