package secure

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// revoking is a list of a that revokes certificates; change may alter it first.
func revoking(t *testing.T, a *Authority, change func(*x509.RevocationList), revoked ...*x509.Certificate) *x509.RevocationList {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: year.begin(), NextUpdate: year.end()}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: today})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.certificate, a.key)
	require.NoError(t, err)
	made, err := x509.ParseRevocationList(der)
	require.NoError(t, err)
	return made
}

func with(lists ...*x509.RevocationList) func(*Config) {
	return func(c *Config) { c.CRLs = lists }
}

func TestRevokedByList(t *testing.T) {
	ca, other := newAuthority(t, "devices"), newAuthority(t, "others")
	leaf, hall := deviceCertificate(t, ca), deviceCertificate(t, ca)

	_, err := prove(trusting(t, with(revoking(t, ca, nil, leaf)), ca), leaf)
	refused(t, err, wire.CodeRevoked, "certificate "+leaf.SerialNumber.Text(16)+": revoked")
	_, err = prove(trusting(t, with(revoking(t, ca, nil, leaf)), ca), hall)
	require.NoError(t, err, "another certificate of the same device")
	_, err = prove(trusting(t, with(revoking(t, ca, nil)), ca), leaf)
	require.NoError(t, err, "an empty list")
	_, err = prove(trusting(t, with(revoking(t, other, nil, leaf)), ca, other), leaf)
	require.NoError(t, err, "a number belongs to its issuer")
	_, err = prove(trusting(t, with(revoking(t, ca, nil), revoking(t, ca, nil, leaf), revoking(t, ca, nil)), ca), leaf)
	refused(t, err, wire.CodeRevoked, "revoked")
}

func TestListsOfIntermediates(t *testing.T) {
	root := rootAuthority(t)
	below := subAuthority(t, root, nil)
	leaf := deviceCertificate(t, below)
	_, err := prove(trusting(t, with(revoking(t, root, nil, below.certificate)), root), leaf, below.certificate)
	refused(t, err, wire.CodeRevoked, "certificate "+below.certificate.SerialNumber.Text(16))
	_, err = prove(trusting(t, with(revoking(t, below, nil, leaf)), root, below), leaf, below.certificate)
	refused(t, err, wire.CodeRevoked, "certificate "+leaf.SerialNumber.Text(16))
	_, err = prove(trusting(t, with(revoking(t, root, nil, below.certificate)), root, below), leaf, below.certificate)
	require.NoError(t, err, "the intermediate is believed for itself")
}

// TestListOutlivesTheCertificateOfItsCA: it is of a name and a key.
func TestListOutlivesTheCertificateOfItsCA(t *testing.T) {
	ca := newAuthority(t, "devices")
	leaf := deviceCertificate(t, ca)
	next := *ca.certificate
	next.SerialNumber, next.NotAfter = nil, year.end().AddDate(5, 0, 0)
	renewed := selfSign(t, ca, &next)
	_, err := prove(trusting(t, with(revoking(t, ca, nil, leaf)), &Authority{renewed, ca.key}), leaf)
	refused(t, err, wire.CodeRevoked, "revoked")
}

// TestOverdueListCounts: it is better than none, and said aloud.
func TestOverdueListCounts(t *testing.T) {
	ca := newAuthority(t, "devices")
	leaf := deviceCertificate(t, ca)
	old := revoking(t, ca, func(l *x509.RevocationList) { l.NextUpdate = today.Add(-time.Hour) }, leaf)
	trust := trusting(t, with(old), ca)
	_, err := prove(trust, leaf)
	refused(t, err, wire.CodeRevoked, "revoked")
	require.Len(t, trust.Warnings(), 1)
	require.Contains(t, trust.Warnings()[0], "should have been replaced by 2026-06-15")
}

func TestListsThatCannotBeTaken(t *testing.T) {
	ca, other := newAuthority(t, "devices"), newAuthority(t, "others")
	namesake := &Authority{ca.certificate, other.key}
	twin := *ca.certificate
	twin.RawSubject, twin.Subject.CommonName = nil, "the same key by another name"
	alias := &Authority{selfSign(t, ca, &twin), ca.key}
	delta := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}
	changed := revoking(t, ca, nil)
	changed.Signature[8] ^= 1
	for name, test := range map[string]struct {
		list *x509.RevocationList
		text string
	}{
		"of nobody known":                 {revoking(t, other, nil), "not signed by any"},
		"of somebody else's key":          {revoking(t, namesake, nil), "not signed by any"},
		"of the same key by another name": {revoking(t, alias, nil), "not signed by any"},
		"changed on the way":              {changed, "not signed by any"},
		"a delta":                         {revoking(t, ca, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{delta} }), "2.5.29.27"},
		"an entry of another CA":          {revoking(t, ca, indirect), "2.5.29.29"},
		"nil":                             {nil, "nil"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{
				Certificates: trusting(t, nil).certificates, DeviceCAs: []CA{{Roots: []*x509.Certificate{ca.certificate}}},
				CRLs: []*x509.RevocationList{revoking(t, ca, nil), test.list},
			}
			_, err := NewTrust(cfg)
			configError(t, err, "CRLs[1]")
			require.ErrorContains(t, err, test.text)
			cfg.CRLs = cfg.CRLs[:1]
			_, err = NewTrust(cfg)
			require.NoError(t, err)
		})
	}
}

// indirect is an entry that says whose certificate it is about.
func indirect(l *x509.RevocationList) {
	l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
		SerialNumber: big.NewInt(7), RevocationTime: today,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}},
	})
}
