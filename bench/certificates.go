package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificates of one run: the server's and, for mutual TLS,
// one for each device. It is made in memory and nobody else trusts it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

const (
	// certifiedName is whom devices expect to meet.
	certifiedName = "localhost"
	// certifiedFor is longer than any run, and begins earlier by as much as clocks differ.
	certifiedFor = 24 * time.Hour
)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := certificate("Bellwire bench")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

func certificate(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certifiedFor),
	}, nil
}

// sign makes a key and a certificate for it.
func (a *authority) sign(template *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// server is a certificate for a server on this machine.
func (a *authority) server() (tls.Certificate, error) {
	template, err := certificate(certifiedName)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.DNSNames, template.IPAddresses = []string{certifiedName}, []net.IP{net.IPv4(127, 0, 0, 1)}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return a.sign(template)
}

// device is a certificate that names a device, as gateways read it unless told
// otherwise. Each device needs one of its own: Go keeps certificates that are
// the same once only, which would make a connection look smaller than it is.
func (a *authority) device(name string) (tls.Certificate, error) {
	template, err := certificate(name)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.URIs = []*url.URL{{Scheme: "bellwire", Host: "bench", Path: "/" + name}}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(template)
}

// encode is the authority's certificate as PEM, with its key if another process
// shall sign with it.
func (a *authority) encode(withKey bool) ([]byte, error) {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if !withKey {
		return text, nil
	}
	key, err := encodeKey(a.key)
	return append(text, key...), err
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// decodeAuthority reads what encode made with the key.
func decodeAuthority(text []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("issuer of device certificates: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("issuer of device certificates: its key is not ECDSA")
	}
	return &authority{pair.Leaf, key}, nil
}

// certificateFiles are where a server finds what it shows and whom it believes.
type certificateFiles struct{ certificate, key, ca string }

// write makes a server's certificate and puts it into a directory.
func (a *authority) write(dir string) (certificateFiles, error) {
	f := certificateFiles{filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.pem")}
	pair, err := a.server()
	if err != nil {
		return f, err
	}
	key, err := encodeKey(pair.PrivateKey)
	if err != nil {
		return f, err
	}
	root, err := a.encode(false)
	if err != nil {
		return f, err
	}
	return f, errors.Join(
		os.WriteFile(f.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600),
		os.WriteFile(f.key, key, 0o600), os.WriteFile(f.ca, root, 0o600))
}
