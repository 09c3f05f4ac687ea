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

// joinFleet adds the links to other gateways, and what their certificates say.
func joinFleet(cfg *gateway.Config, s Settings) error {
	config, name, err := fleetTLS(s)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	cfg.Name = name
	if cfg.Peer = peerConfig(s); cfg.Peer != nil {
		cfg.Peer.Name, cfg.Peer.TLS = name, config
	}
	return nil
}

// fleetTLS reads how this gateway proves itself to the others, and its name in its certificate. Without files it is nil
// and the name that was set. A name that was set and is another one than the certificate's is an error: no gateway would
// believe it.
func fleetTLS(s Settings) (*tls.Config, string, error) {
	if !s.Fleet.whole() {
		return nil, s.Name, nil
	}
	ca, err := readCredential(s.Fleet.CA)
	if err != nil {
		return nil, "", inFile("fleet.ca", s.Fleet.CA, err)
	}
	cert, err := readCredential(s.Fleet.Cert)
	if err != nil {
		return nil, "", inFile("fleet.cert", s.Fleet.Cert, err)
	}
	key, err := readSecret(s.Fleet.Key)
	if err != nil {
		return nil, "", inFile("fleet.key", s.Fleet.Key, err)
	}
	config, err := secure.FleetTLS(ca, cert, key)
	if err != nil {
		return nil, "", fmt.Errorf("fleet.ca: %s, fleet.cert: %s, fleet.key: %s: %w", s.Fleet.CA, s.Fleet.Cert, s.Fleet.Key, err)
	}
	cluster, name, err := peer.CertifiedName(config.Certificates[0].Leaf)
	if err == nil && cluster != s.Cluster {
		err = fmt.Errorf("it is of the fleet %s, and the setting cluster is %s", cluster, s.Cluster)
	}
	if err != nil {
		return nil, "", inFile("fleet.cert", s.Fleet.Cert, err)
	}
	if s.Name != "" && s.Name != name {
		return nil, "", fmt.Errorf("name: %s is not the name in the certificate of fleet.cert, which is %s: leave name out, or make a certificate for it (bellwire cert fleet %s)",
			s.Name, name, s.Name)
	}
	return config, name, nil
}
