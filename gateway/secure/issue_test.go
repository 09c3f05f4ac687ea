package secure

import (
	"crypto/ed25519"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestAuthority(t *testing.T) {
	a, pair, err := NewAuthority("Bellwire devices", year)
	require.NoError(t, err)
	again, err := ReadAuthority(pair)
	require.NoError(t, err)
	require.True(t, a.Certificate().Equal(again.Certificate()))
	c := a.Certificate()
	require.True(t, c.IsCA)
	require.True(t, c.MaxPathLenZero, "it makes no other CAs")
	require.Regexp(t, `^Bellwire devices [0-9a-f]{8}$`, c.Subject.CommonName)
	require.Equal(t, year.From.Add(-time.Hour), c.NotBefore)
	require.Equal(t, year.end(), c.NotAfter)
	require.NotEqual(t, newAuthority(t, "x").Certificate().RawSubject, newAuthority(t, "x").Certificate().RawSubject)

	other := newAuthority(t, "other")
	otherKey, err := encodePrivateKey(other.key)
	require.NoError(t, err)
	leaf, err := a.Device(kitchen, year)
	require.NoError(t, err)
	for text, p := range map[string]Pair{
		"not that of the certificate": {pair.Certificate, otherKey},
		"not that of a CA":            leaf,
		"no certificate in it":        {pair.Key[:0], pair.Key},
		"holds a PRIVATE KEY":         {pair.Key, pair.Key},
		"no private key in it":        {pair.Certificate, pair.Certificate},
	} {
		_, err := ReadAuthority(p)
		require.ErrorContains(t, err, text)
	}
}

func TestAuthoritiesThatCannotBe(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", 49), "a\nb"} {
		_, _, err := NewAuthority(name, year)
		require.Error(t, err)
	}
	for _, p := range []Period{{}, {From: today}, {From: today, For: -time.Hour}, {From: today.AddDate(7900, 0, 0), For: 290 * 365 * 24 * time.Hour}} {
		_, _, err := NewAuthority("x", p)
		require.Error(t, err)
	}
}

func TestIssuedForGateways(t *testing.T) {
	a := newAuthority(t, "x")
	pair, err := a.Gateway([]string{"GW.example", "127.0.0.1", "::1", "*.gw.example"}, year)
	require.NoError(t, err)
	c := parsed(t, pair)
	require.Equal(t, []string{"gw.example", "*.gw.example"}, c.DNSNames)
	require.Len(t, c.IPAddresses, 2)
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, c.ExtKeyUsage)
	require.False(t, c.IsCA)
	for _, name := range []string{"gw.example", "127.0.0.1", "::1", "eu.gw.example"} {
		require.NoError(t, c.VerifyHostname(name))
	}
	for _, names := range [][]string{nil, {""}, {"gw.example:7315"}, {"127.0.0.1:7315"}, {"https://gw.example"}, {"a b"}, {"a..b"}, {"gw.example."}, {"ä.example"}, {"*"}, {"a.*.b"}} {
		_, err := a.Gateway(names, year)
		require.Error(t, err, "%q", names)
	}
}

// TestIssuedForDevices: what is issued is believed, and what would not be is not
// issued.
func TestIssuedForDevices(t *testing.T) {
	a := newAuthority(t, "x")
	trust := trusting(t, nil, a)
	for text, good := range map[string]bool{
		"acme/kitchen": true, "a-1.x_y/K:1@b": true, "1/2": true, "acme/" + strings.Repeat("x", 128): true, strings.Repeat("x", 64) + "/d": true,
		"ACME/kitchen": false, "a:1/kitchen": false, "a@b/kitchen": false, "acme./kitchen": false, "a..b/kitchen": false,
	} {
		id, err := wire.ParseIdentity(text)
		require.NoError(t, err)
		pair, err := a.Device(id, year)
		if !good {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		p, err := prove(trust, parsed(t, pair))
		require.NoError(t, err, text)
		require.Equal(t, id, p.Identity)
	}
	_, err := a.Device(wire.Identity{Tenant: "a b", Device: "c"}, year)
	require.Error(t, err)
	_, err = a.Device(kitchen, Period{From: today, For: 3650 * 24 * time.Hour})
	require.ErrorContains(t, err, "the CA only until 2027-05-15")
}

func TestRevokeGoesOn(t *testing.T) {
	a := newAuthority(t, "x")
	first, err := a.Revoke(nil, []*big.Int{big.NewInt(7)}, year)
	require.NoError(t, err)
	lists, err := ParseRevocationLists(first)
	require.NoError(t, err)
	second, err := a.Revoke(lists[0], []*big.Int{big.NewInt(9), big.NewInt(7)}, year)
	require.NoError(t, err)
	lists, err = ParseRevocationLists(second)
	require.NoError(t, err)
	require.Len(t, lists[0].RevokedCertificateEntries, 2)
	require.Zero(t, lists[0].Number.Cmp(big.NewInt(2)))
	require.NoError(t, lists[0].CheckSignatureFrom(a.Certificate()))
	_, err = newAuthority(t, "other").Revoke(lists[0], nil, year)
	require.ErrorContains(t, err, "not of this CA")
	_, err = a.Revoke(nil, nil, Period{})
	require.Error(t, err)
}

func TestTokens(t *testing.T) {
	private, public, err := NewTokenKey()
	require.NoError(t, err)
	key, err := ParseTokenPrivateKey(private)
	require.NoError(t, err)
	verify, err := ParseTokenKey(public)
	require.NoError(t, err)
	require.True(t, verify.Equal(key.Public()))
	trust, err := NewTrust(Config{Now: at(today), TokenKeys: []TokenKey{{ID: TokenKeyID(verify), Key: verify}}})
	require.NoError(t, err)

	for _, claims := range []Claims{
		{Subject: "acme/kitchen", Expires: today.Add(time.Hour)},
		{Subject: "acme/kitchen", Expires: today.Add(time.Hour), Issued: today, NotBefore: today, ID: "t-1", Limited: true, Publish: []string{"a/{device}"}, Subscribe: []string{"#"}},
		{Subject: "acme/kitchen", Expires: today.Add(time.Hour), Limited: true, Publish: []string{}},
		{Subject: "anna", Expires: today.Add(time.Hour), Admin: "*"},
	} {
		token, err := IssueToken(key, claims)
		require.NoError(t, err)
		got, id, err := ReadToken([]byte(token))
		require.NoError(t, err)
		require.Equal(t, TokenKeyID(verify), id)
		for _, at := range []*time.Time{&got.Expires, &got.Issued, &got.NotBefore} {
			if !at.IsZero() {
				*at = at.UTC()
			}
		}
		require.Equal(t, claims, got)
		require.True(t, SignedBy([]byte(token), verify))
		require.False(t, SignedBy([]byte(token), publicOf(seeded(1))))
		require.False(t, SignedBy([]byte(token+"\n"), verify))
		require.False(t, SignedBy([]byte(token), nil))
		if claims.Admin != "" {
			_, err = trust.Admin([]byte(token))
		} else {
			_, err = trust.Token([]byte(token))
		}
		require.NoError(t, err)
	}
}

func TestTokensThatAreNotIssued(t *testing.T) {
	many := make([]string, 12)
	for i := range many {
		many[i] = strings.Repeat("x", 100)
	}
	for text, claims := range map[string]Claims{
		"when it expires":     {Subject: "acme/kitchen"},
		"not tenant/device":   {Subject: "kitchen", Expires: today},
		"name of a person":    {Subject: "", Admin: "*", Expires: today},
		"neither * nor":       {Subject: "anna", Admin: "a b", Expires: today},
		"are for devices":     {Subject: "anna", Admin: "*", Limited: true, Expires: today},
		"list of filters":     {Subject: "acme/kitchen", Limited: true, Publish: []string{"a/#/b"}, Expires: today},
		"fewer or shorter":    {Subject: "acme/kitchen", Limited: true, Publish: many, Expires: today},
		"exp is not a time":   {Subject: "acme/kitchen", Expires: today.AddDate(9000, 0, 0)},
		"issued in the futur": {Subject: "acme/kitchen", Expires: today, Issued: today.Add(time.Hour)},
	} {
		token, err := IssueToken(seeded(1), claims)
		require.ErrorContains(t, err, text)
		require.Empty(t, token, text)
	}
	_, err := IssueToken(ed25519.PrivateKey{1}, Claims{Subject: "acme/kitchen", Expires: today})
	require.ErrorContains(t, err, "no key")
}

func TestPEMFiles(t *testing.T) {
	a := newAuthority(t, "x")
	pair, err := a.Device(kitchen, year)
	require.NoError(t, err)
	private, public, err := NewTokenKey()
	require.NoError(t, err)
	list, err := a.Revoke(nil, nil, year)
	require.NoError(t, err)
	der := a.certificate.Raw

	both, err := ParseCertificates(append(append([]byte("words\n"), pair.Certificate...), pair.Certificate...))
	require.NoError(t, err)
	require.Len(t, both, 2)
	one, err := ParseCertificates(der)
	require.NoError(t, err)
	require.True(t, one[0].Equal(a.certificate))
	binary, err := ParseRevocationLists(list)
	require.NoError(t, err)
	_, err = ParseRevocationLists(binary[0].Raw)
	require.NoError(t, err)

	certificates := func(b []byte) error { _, err := ParseCertificates(b); return err }
	lists := func(b []byte) error { _, err := ParseRevocationLists(b); return err }
	tokenKey := func(b []byte) error { _, err := ParseTokenKey(b); return err }
	tokenPrivate := func(b []byte) error { _, err := ParseTokenPrivateKey(b); return err }
	for _, test := range []struct {
		parse func([]byte) error
		file  []byte
		want  string
	}{
		{certificates, nil, "no certificate in it"},
		{certificates, []byte("hello"), "no certificate in it"},
		{certificates, der[:len(der)-1], "no certificate in it"},
		{certificates, append(append([]byte(nil), pair.Certificate...), pair.Key...), "holds a PRIVATE KEY"},
		{certificates, list, "holds a X509 CRL"},
		{certificates, append(append([]byte(nil), pair.Certificate...), pair.Certificate[:100]...), "torn"},
		{certificates, encodePEM(pemCertificate, []byte{1}), "certificate 1 of the file"},
		{lists, pair.Certificate, "holds a CERTIFICATE"},
		{lists, nil, "no revocation list in it"},
		{tokenKey, private, "is the private key"},
		{tokenKey, nil, "no public key"},
		{tokenKey, pair.Certificate, "holds a CERTIFICATE"},
		{tokenKey, encodePEM(pemPublicKey, []byte{1}), "asn1"},
		{tokenPrivate, public, "no private key"},
		{tokenPrivate, pair.Key, "no Ed25519 key"},
		{tokenPrivate, encodePEM("ENCRYPTED PRIVATE KEY", []byte{1}), "decrypt"},
		{tokenPrivate, encodePEM(pemPrivateKey, []byte{1}), "asn1"},
	} {
		require.ErrorContains(t, test.parse(test.file), test.want)
	}
	spki := a.certificate.RawSubjectPublicKeyInfo
	require.ErrorContains(t, tokenKey(encodePEM(pemPublicKey, spki)), "no Ed25519 key")
}
