package peer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// checkTLS wants both sides of a link to be able to prove themselves.
func (c *Config) checkTLS() error {
	switch {
	case c.TLS == nil:
		return nil
	case len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil:
		return errors.New("peer: TLS has no certificate")
	case c.TLS.RootCAs == nil || c.TLS.ClientCAs == nil:
		return errors.New("peer: TLS needs the CA of the fleet as both RootCAs and ClientCAs")
	case c.TLS.InsecureSkipVerify && c.TLS.VerifyConnection == nil:
		return errors.New("peer: TLS has InsecureSkipVerify and nothing else that verifies: want VerifyConnection")
	}
	for _, own := range c.TLS.Certificates {
		leaf := own.Leaf
		if leaf == nil && len(own.Certificate) > 0 {
			leaf, _ = x509.ParseCertificate(own.Certificate[0])
		}
		if leaf == nil {
			return errors.New("peer: the certificate cannot be read")
		}
		cluster, name, err := CertifiedName(leaf)
		if err != nil {
			return errors.New("peer: TLS: " + err.Error())
		}
		if (cluster != c.Cluster || name != c.Name) && !c.without.certificateName {
			return errors.New("peer: the certificate is that of " + name + " of " + cluster + ", and this is " + c.Name + " of " + c.Cluster)
		}
	}
	return nil
}

func (c *Config) serverTLS() *tls.Config {
	t := welcoming(c.TLS)
	if ask := c.TLS.GetConfigForClient; ask != nil {
		t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			next, err := ask(hello)
			if next == nil || err != nil {
				return next, err
			}
			return welcoming(next), nil
		}
	}
	return t
}

// welcoming is a configuration as the end that was dialled has it.
func welcoming(config *tls.Config) *tls.Config {
	t := config.Clone()
	t.MinVersion = tls.VersionTLS13
	t.ClientAuth = tls.RequireAndVerifyClientCert
	t.SessionTicketsDisabled = true // a certificate is looked at each time
	return t
}

// clientTLS verifies the chain and not the host: who is there is said by the URI in the certificate, not by where it was
// reached.
func (c *Config) clientTLS() *tls.Config {
	t := c.TLS.Clone()
	t.MinVersion = tls.VersionTLS13
	t.ClientSessionCache = nil
	if t.InsecureSkipVerify {
		return t // VerifyConnection does it
	}
	t.InsecureSkipVerify = true
	roots, more := c.TLS.RootCAs, c.TLS.VerifyConnection
	t.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("no certificate")
		}
		options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		for _, between := range s.PeerCertificates[1:] {
			options.Intermediates.AddCert(between)
		}
		if _, err := s.PeerCertificates[0].Verify(options); err != nil || more == nil {
			return err
		}
		return more(s)
	}
	return t
}
