package main

import (
	"cmp"
	"net/url"
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
	credentialFlags
	Gateways []string `arg:"" name:"gateway" help:"Names of gateways, as in their setting name; each gets a certificate that names it in the URI bellwire://CLUSTER/gateway/NAME."`
	Cluster  string   `default:"bellwire" placeholder:"NAME" help:"The fleet, as in the setting cluster of its gateways."`
	CA       string   `name:"ca" noenv:"" placeholder:"FILE" help:"Certificate of the fleet's CA. Default: fleet-ca.pem in --dir."`
	CAKey    string   `name:"ca-key" noenv:"" placeholder:"FILE" help:"Its private key. Default: fleet-ca-key.pem in --dir."`
	For      Lifetime `default:"365d" placeholder:"TIME" help:"How long it is valid."`
}

// Run makes the certificates.
func (c *certFleetCmd) Run(e *env) error {
	names := make([]*url.URL, len(c.Gateways))
	for i, gateway := range c.Gateways {
		name, err := peer.CertificateName(c.Cluster, gateway)
		if err != nil {
			return exitWith(exitUsage, err)
		}
		names[i] = name
	}
	authority := authorityFlags{CA: cmp.Or(c.CA, c.path(fleetCAFile)), CAKey: cmp.Or(c.CAKey, c.path(fleetCAKeyFile))}
	a, err := authority.read("fleet-ca")
	if err != nil {
		return err
	}
	var all []made
	var files []newFile
	for i, name := range names {
		issued, err := a.FleetGateway(name, secure.Period{From: time.Now(), For: time.Duration(c.For)})
		if err != nil {
			return exitWith(exitUsage, err)
		}
		m, two, err := pair("gateway "+c.Gateways[i]+" of "+c.Cluster, c.path("fleet-"+c.Gateways[i]), issued)
		if err != nil {
			return err
		}
		all, files = append(all, m), append(files, two...)
	}
	if err := writeNew(files...); err != nil {
		return err
	}
	return c.told(e, all, "Each gateway gets its two files as fleet.cert and fleet.key, and "+authority.CA+" as fleet.ca.")
}
