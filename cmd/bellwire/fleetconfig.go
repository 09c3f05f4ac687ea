package main

import (
	"crypto/tls"
	"fmt"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/peer"
)

// peerConfig is what links to other gateways are made from, but for their certificates; nil for a gateway that is alone.
// The gateway fills in what is its own.
func peerConfig(s Settings) *peer.Config {
	if !s.inFleet() {
		return nil
	}
	return &peer.Config{Cluster: s.Cluster, Name: s.Name, Listen: s.PeerListen, Advertise: s.PeerAdvertise, Peers: s.Peer}
}

// joinFleet adds the links to other gateways, and the name in this gateway's certificate.
func joinFleet(cfg *gateway.Config, s Settings, f *secure.Fleet) {
	cfg.Name = s.Name
	if f != nil {
		_, cfg.Name, _ = peer.CertifiedName(f.Certificate()) // readProof has looked at it
	}
	if cfg.Peer = peerConfig(s); cfg.Peer != nil {
		cfg.Peer.Name, cfg.Peer.TLS = cfg.Name, fleetTLS(f)
	}
}

// fleetTLS is nil for a gateway that has no certificate for the others.
func fleetTLS(f *secure.Fleet) *tls.Config {
	if f == nil {
		return nil
	}
	return f.TLS()
}

// readProof reads how this gateway proves itself to the others; nil without files. The name in its certificate is the
// gateway's. A name that was set and is another one is an error: no gateway would believe it.
func readProof(s Settings) (*secure.Fleet, error) {
	if !s.Fleet.whole() {
		return nil, nil
	}
	ca, err := readCredential(s.Fleet.CA)
	if err != nil {
		return nil, inFile("fleet.ca", s.Fleet.CA, err)
	}
	cert, err := readCredential(s.Fleet.Cert)
	if err != nil {
		return nil, inFile("fleet.cert", s.Fleet.Cert, err)
	}
	key, err := readSecret(s.Fleet.Key)
	if err != nil {
		return nil, inFile("fleet.key", s.Fleet.Key, err)
	}
	f, err := secure.NewFleet(ca, cert, key)
	if err != nil {
		return nil, fmt.Errorf("fleet.ca: %s, fleet.cert: %s, fleet.key: %s: %w", s.Fleet.CA, s.Fleet.Cert, s.Fleet.Key, err)
	}
	cluster, name, err := peer.CertifiedName(f.Certificate())
	if err == nil && cluster != s.Cluster {
		err = fmt.Errorf("it is of the fleet %s, and the setting cluster is %s", cluster, s.Cluster)
	}
	if err != nil {
		return nil, inFile("fleet.cert", s.Fleet.Cert, err)
	}
	if s.Name != "" && s.Name != name {
		return nil, fmt.Errorf("name: %s is not the name in the certificate of fleet.cert, which is %s: leave name out, or make a certificate for it (bellwire cert fleet %s)",
			s.Name, name, s.Name)
	}
	return f, nil
}
