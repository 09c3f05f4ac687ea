package secure

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// revocationLists are the serial numbers that issuers have revoked. A list
// belongs to a name and a key, not to one certificate: a CA whose certificate was
// renewed still revokes what it issued before.
type revocationLists struct {
	serials map[string]map[string]struct{} // by issuerKey, then by the bytes of the number
	due     []listDue
}

type listDue struct {
	issuer string
	next   time.Time // zero: it does not say
}

func issuerKey(c *x509.Certificate) string {
	return string(c.RawSubject) + "\x00" + string(c.RawSubjectPublicKeyInfo)
}

// revoked reports whether issuer has revoked the number.
func (l *revocationLists) revoked(issuer *x509.Certificate, serial *big.Int) bool {
	if len(l.serials) == 0 {
		return false
	}
	_, found := l.serials[issuerKey(issuer)][string(serial.Bytes())]
	return found
}

// overdue says which lists should have been replaced before now.
func (l *revocationLists) overdue(now time.Time) []string {
	var all []string
	for _, list := range l.due {
		if !list.next.IsZero() && now.After(list.next) {
			all = append(all, fmt.Sprintf("the revocation list of %s should have been replaced by %s: get the next one", list.issuer, date(list.next)))
		}
	}
	return all
}

// takeCRLs checks the lists against the CAs, which must be known by then.
func (t *Trust) takeCRLs(cfg *Config) error {
	t.crls.serials = map[string]map[string]struct{}{}
	for i, list := range cfg.CRLs {
		if list == nil {
			return badField("is nil", "CRLs[%d]", i)
		}
		if reason := unusable(list); reason != "" {
			return badField(reason, "CRLs[%d]", i)
		}
		signers := t.signersOf(list)
		if len(signers) == 0 {
			return badField(fmt.Sprintf("issuer %s: is not signed by any of the device CAs: "+
				"give the CA that made it too, or take the list away", list.Issuer), "CRLs[%d]", i)
		}
		for key := range signers {
			known := t.crls.serials[key]
			if known == nil {
				known = map[string]struct{}{}
				t.crls.serials[key] = known
			}
			for _, entry := range list.RevokedCertificateEntries {
				known[string(entry.SerialNumber.Bytes())] = struct{}{}
			}
		}
		t.crls.due = append(t.crls.due, listDue{list.Issuer.String(), list.NextUpdate})
	}
	return nil
}

// signersOf are the CAs that have the list's issuer as their name and signed it.
func (t *Trust) signersOf(list *x509.RevocationList) map[string]struct{} {
	signers := map[string]struct{}{}
	for _, root := range t.anchors {
		if bytes.Equal(root.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(root) == nil {
			signers[issuerKey(root)] = struct{}{}
		}
	}
	return signers
}

// unusable says why a list cannot be taken as what it seems: a critical extension
// that is not understood, such as those of delta and indirect lists, may mean
// that it is about other certificates [RFC 5280, 5.2].
func unusable(list *x509.RevocationList) string {
	for _, extension := range list.Extensions {
		if extension.Critical {
			return fmt.Sprintf("has the critical extension %s: delta and partial lists are not read, want a full one", extension.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, extension := range entry.Extensions {
			if extension.Critical {
				return fmt.Sprintf("certificate %s has the critical extension %s: indirect lists are not read, want one of the CA itself",
					serialText(entry.SerialNumber), extension.Id)
			}
		}
	}
	return ""
}
