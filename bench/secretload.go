package bench

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
)

// secret is how devices make their connections secret.
type secret struct {
	Remote netip.AddrPort // where the server speaks TLS
	Roots  []byte         // PEM: whom the devices believe
	// X25519 has the devices offer that curve only: a small hello, as small devices
	// send it. Else it is what Go offers, with ML-KEM.
	X25519 bool
	// Issuer signs a certificate for each device: PEM with the key. Empty: the
	// devices show none.
	Issuer []byte
	// Opened is how many subscribers open what they receive and check it. The others
	// count TLS records and their bytes, so that the load does not pay for AES.
	Opened int
	// Sources is how many loopback addresses the devices come from. 0: 1.
	Sources int
}

// client is the TLS configuration of a device, all but its certificate.
func (s *secret) client() (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.Roots) {
		return nil, errors.New("TLS: no certificate to believe in")
	}
	cfg := &tls.Config{RootCAs: roots, ServerName: certifiedName, MinVersion: tls.VersionTLS13}
	if s.X25519 {
		cfg.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	return cfg, nil
}

// callers are what connects the devices of a load, one configuration for each
// number.
func (s *secret) callers(topic string) (*caller, error) {
	cfg, err := s.client()
	if err != nil {
		return nil, err
	}
	c := &caller{remote: s.Remote, tls: cfg, topic: topic, sources: max(1, s.Sources)}
	if len(s.Issuer) > 0 {
		if c.issuer, err = decodeAuthority(s.Issuer); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// deviceName is what a device of a measurement is called: 24 characters, as long
// as the names that fleets give.
func deviceName(number int) string { return fmt.Sprintf("bench-device-%011d", number) }
