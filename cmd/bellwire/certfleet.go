package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/peer"
)

// The files of the fleet's CA, in the directory that --dir names.
const (
	fleetCAFile    = "fleet-ca.pem"
	fleetCAKeyFile = "fleet-ca-key.pem"
)

type certFleetCACmd struct {
	credentialFlags
	Title string   `default:"Bellwire fleet CA" placeholder:"TEXT" help:"What the CA calls itself; some digits of its key are added."`
	For   Lifetime `default:"3650d" placeholder:"TIME" help:"How long it is valid."`
}

// Run makes the CA.
func (c *certFleetCACmd) Run(e *env) error {
	_, issued, err := secure.NewAuthority(c.Title, secure.Period{From: time.Now(), For: time.Duration(c.For)})
	if err != nil {
		return exitWith(exitUsage, err)
	}
	m, files, err := pair("CA of the fleet", c.path("fleet-ca"), issued)
	if err == nil {
		err = writeNew(files...)
	}
	if err != nil {
		return err
	}
	return c.told(e, []made{m}, "All gateways get the first file as fleet.ca, devices neither. Keep the secret file away from both: whoever has it can be any gateway.")
}

type certFleetCmd struct {
	fleetIssuer
	Gateways []string `arg:"" name:"gateway" help:"Names of gateways, as in their setting name; each gets a certificate that names it in the URI bellwire://CLUSTER/gateway/NAME."`
	Cluster  string   `default:"bellwire" placeholder:"NAME" help:"The fleet, as in the setting cluster of its gateways."`
}

// Run makes the certificates.
func (c *certFleetCmd) Run(e *env) error {
	orders := make([]fleetOrder, len(c.Gateways))
	for i, gateway := range c.Gateways {
		name, err := peer.CertificateName(c.Cluster, gateway)
		if err != nil {
			return exitWith(exitUsage, err)
		}
		orders[i] = fleetOrder{"gateway " + gateway + " of " + c.Cluster, "fleet-" + gateway, func(a *secure.Authority, p secure.Period) (secure.Pair, error) {
			return a.FleetGateway(name, p)
		}}
	}
	return c.issue(e, orders, "Each gateway gets its two files as fleet.cert and fleet.key, and the CA's certificate as fleet.ca.")
}

type certNATSCmd struct {
	fleetIssuer
	Members []string `arg:"" name:"member" help:"NAME=ADDRESS,… for a NATS server and the DNS names and IP addresses at which it is reached; NAME alone for a backend."`
}

// Run makes the certificates.
func (c *certNATSCmd) Run(e *env) error {
	orders := make([]fleetOrder, len(c.Members))
	for i, member := range c.Members {
		name, addresses, server := strings.Cut(member, "=")
		if !filepath.IsLocal(name) || filepath.Base(name) != name || server && addresses == "" {
			return exitWith(exitUsage, fmt.Errorf("%q: want NAME=ADDRESS,ADDRESS for a NATS server, or NAME for a backend", member))
		}
		whose, reached := "backend "+name, []string(nil)
		if server {
			whose, reached = "NATS server "+name, strings.Split(addresses, ",")
		}
		orders[i] = fleetOrder{whose, "nats-" + name, func(a *secure.Authority, p secure.Period) (secure.Pair, error) {
			return a.FleetMember(name, reached, p)
		}}
	}
	return c.issue(e, orders, "A NATS server gets its two files for its clients and for its routes, with the CA's certificate, and verifies both; a backend shows its own and believes the CA.")
}

// fleetOrder is a certificate to be made of the fleet's CA, for the files base.pem and base-key.pem.
type fleetOrder struct {
	whose, base string
	issue       func(*secure.Authority, secure.Period) (secure.Pair, error)
}

// fleetIssuer has the fleet's CA sign.
type fleetIssuer struct {
	credentialFlags
	CA    string   `name:"ca" noenv:"" placeholder:"FILE" help:"Certificate of the fleet's CA. Default: fleet-ca.pem in --dir."`
	CAKey string   `name:"ca-key" noenv:"" placeholder:"FILE" help:"Its private key. Default: fleet-ca-key.pem in --dir."`
	For   Lifetime `default:"365d" placeholder:"TIME" help:"How long it is valid."`
}

// issue makes all certificates and writes them, or none.
func (c *fleetIssuer) issue(e *env, orders []fleetOrder, note string) error {
	authority := authorityFlags{CA: cmp.Or(c.CA, c.path(fleetCAFile)), CAKey: cmp.Or(c.CAKey, c.path(fleetCAKeyFile))}
	a, err := authority.read("fleet-ca")
	if err != nil {
		return err
	}
	var all []made
	var files []newFile
	for _, order := range orders {
		issued, err := order.issue(a, secure.Period{From: time.Now(), For: time.Duration(c.For)})
		if err != nil {
			return exitWith(exitUsage, err)
		}
		m, two, err := pair(order.whose, c.path(order.base), issued)
		if err != nil {
			return err
		}
		all, files = append(all, m), append(files, two...)
	}
	if err := writeNew(files...); err != nil {
		return err
	}
	return c.told(e, all, note)
}
