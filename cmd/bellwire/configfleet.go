package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/bellwire/bellwire/peer"
)

// What central may be, beside a list of servers.
const (
	centralEmbedded = "embedded"
	centralOff      = "off"
)

// shared says whether the central service is that of another gateway or a cluster.
func (s *Settings) sharesCentral() bool {
	return s.Central != centralEmbedded && s.Central != centralOff
}

// inFleet says whether there are links to other gateways.
func (s *Settings) inFleet() bool { return s.PeerListen != "" || len(s.Peer) > 0 }

// whole says whether all files are named.
func (f *FleetSettings) whole() bool { return f.CA != "" && f.Cert != "" && f.Key != "" }

// fleetProblems: links between gateways are plain TCP on loopback alone, and insecure does not change that. Anyone who
// could link would be a gateway.
func (s *Settings) fleetProblems(wrong func(string, string, ...any), clash func(string, string, string, ...any)) {
	if _, err := peer.CertificateName(s.Cluster, "any"); err != nil {
		wrong("cluster", "%v", err)
	}
	for _, file := range []struct{ key, path string }{{"fleet.ca", s.Fleet.CA}, {"fleet.cert", s.Fleet.Cert}, {"fleet.key", s.Fleet.Key}} {
		if s.Fleet != (FleetSettings{}) && file.path == "" {
			wrong(file.key, "is missing: fleet.ca, fleet.cert and fleet.key go together (bellwire cert fleet-ca and bellwire cert fleet make them)")
			break
		}
	}
	if s.inFleet() && s.Name != "" {
		if _, err := peer.CertificateName("any", s.Name); err != nil {
			wrong("name", "%v", err)
		}
	}
	if s.PeerListen != "" {
		s.fleetAddress(wrong, "peer_listen", s.PeerListen, "127.0.0.1:7313")
	}
	for _, address := range s.Peer {
		s.fleetAddress(wrong, "peer", address, "127.0.0.1:7313")
		if anyPort(address) {
			wrong("peer", "%s has no port: write that of its peer_listen, 7313 by custom", address)
		}
	}
	if len(s.Peer) > peer.DefaultPeers {
		wrong("peer", "names %d gateways, and each gateway links to all others: a fleet has at most %d beside this one", len(s.Peer), peer.DefaultPeers)
	}
	switch advertised, every := s.PeerAdvertise, everyAddress(s.PeerListen); {
	case advertised == "" && every:
		clash("peer_advertise", "peer_listen", "is missing: %s is every address, so say at which one the other gateways reach it", s.PeerListen)
	case advertised == "":
	case s.PeerListen == "":
		clash("peer_advertise", "peer_listen", "is the way to peer_listen, which is not set: set it as well")
	default:
		s.fleetAddress(wrong, "peer_advertise", advertised, "127.0.0.1:7313")
		if s.Fleet.whole() && everyAddress(advertised) || anyPort(advertised) {
			wrong("peer_advertise", "%s is nowhere to connect to: write host and port such as 10.0.0.1:7313", advertised)
		}
	}
}

// fleetAddress: beyond loopback an address for gateways needs certificates.
func (s *Settings) fleetAddress(wrong func(string, string, ...any), key, address, example string) {
	loopback, err := addressIsLoopback(address)
	switch {
	case err != nil:
		wrong(key, "%q is not host:port (%v): write one such as %s", address, err, example)
	case !loopback && !s.Fleet.whole():
		wrong(key, "%s is not loopback, and anyone there could be a gateway: set fleet.ca, fleet.cert and fleet.key "+
			"(bellwire cert fleet-ca and bellwire cert fleet make them), or take %s", address, example)
	}
}

// everyAddress says whether host:port stands for all addresses of the machine.
func everyAddress(address string) bool {
	host, _, err := splitAddress(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// anyPort says whether host:port leaves the port to the system, which is good to listen at and not to connect to.
func anyPort(address string) bool {
	_, port, err := splitAddress(address)
	return err == nil && port == 0
}

// centralProblems holds what belongs together for the central service.
func (s *Settings) centralProblems(wrong func(string, string, ...any), clash func(string, string, string, ...any)) {
	if s.sharesCentral() {
		s.sharedProblems(wrong)
	}
	if s.CentralListen != "" {
		if s.Central != centralEmbedded {
			clash("central_listen", "central", "offers the embedded central service, and central is %s: leave it out, or set central to embedded", s.Central)
		}
		s.fleetAddress(wrong, "central_listen", s.CentralListen, "127.0.0.1:7314")
	}
	if s.Data != "" && s.Central == centralOff {
		clash("data", "central", "is where things of the central service are kept, and central is %s: leave it out, or set central to something else", s.Central)
	}
	if at, err := os.Stat(s.Data); err == nil && !at.IsDir() {
		wrong("data", "%s is not a directory: name one, or a path where one can be made", s.Data)
	}
}

// sharedProblems: what devices publish is not for everyone on the way to the servers to read.
func (s *Settings) sharedProblems(wrong func(string, string, ...any)) {
	servers, err := centralServers(s.Central)
	if err != nil {
		wrong("central", "%v", err)
		return
	}
	for _, server := range servers {
		if !hostIsLoopback(server.Hostname()) && server.Scheme != "tls" && !s.Fleet.whole() && !s.Insecure {
			wrong("central", "%s is not loopback, and messages of devices would go there in the clear: set fleet.ca, fleet.cert and fleet.key, "+
				"write tls:// if the servers have certificates that this machine believes, or set insecure to true if that is meant", server.Host)
			return
		}
	}
}

// centralServers reads nats://a,b,c, or tls://a,b,c. Names and passwords may stand before an address; errors quote none.
func centralServers(text string) ([]*url.URL, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme != "nats" && scheme != "tls" {
		return nil, errors.New("is not known: write embedded, off, or servers such as nats://10.0.0.1:7314,10.0.0.2:7314")
	}
	var servers []*url.URL
	for i, server := range strings.Split(rest, ",") {
		// Each may be a URL of its own, as NATS clients write it.
		server = strings.TrimPrefix(strings.TrimSpace(server), scheme+"://")
		address, err := url.Parse(scheme + "://" + server)
		if err != nil || address.Hostname() == "" || address.Path != "" || address.RawQuery != "" || address.Fragment != "" {
			return nil, fmt.Errorf("server %d of the list is not HOST:PORT: write them as in nats://10.0.0.1:7314,10.0.0.2:7314", i+1)
		}
		servers = append(servers, address)
	}
	return servers, nil
}
