package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// certCmd is `bellwire cert`.
type certCmd struct {
	CA      certCACmd      `cmd:"" name:"ca" help:"Make a CA: ca.pem and, secret, ca-key.pem."`
	Issue   certIssueCmd   `cmd:"" help:"Make certificates for devices or a gateway, with their keys."`
	Revoke  certRevokeCmd  `cmd:"" help:"Revoke certificates: write the list crl.pem anew."`
	Tickets certTicketsCmd `cmd:"" help:"Make the secret with which the gateways of a fleet resume one another's TLS sessions."`
	FleetCA certFleetCACmd `cmd:"" name:"fleet-ca" help:"Make the CA of a fleet's gateways: fleet-ca.pem and, secret, fleet-ca-key.pem."`
	Fleet   certFleetCmd   `cmd:"" help:"Make certificates with which the gateways of a fleet prove themselves to each other."`
	NATS    certNATSCmd    `cmd:"" name:"nats" help:"Make certificates of a fleet's CA for the NATS servers of its central service, and for backends."`
}

// Help shows the shortest way.
func (c *certCmd) Help() string {
	return "Three commands are enough for certificates on both sides:\n\n" +
		"bellwire cert ca\n\n" +
		"bellwire cert issue --gateway gw.example,192.0.2.1\n\n" +
		"bellwire cert issue acme/kitchen\n\n" +
		"A gateway needs ca.pem, gateway.pem and gateway-key.pem; the device needs ca.pem, kitchen.pem and kitchen-key.pem. " +
		"ca-key.pem stays with you. Gateways that link to each other have a CA of their own: bellwire cert fleet-ca, then " +
		"bellwire cert fleet gw-1 gw-2; the NATS servers of a central service and backends have certificates of it that are no gateway's: bellwire cert nats n1=192.0.2.11 shop. Files that are there are never written over, and no private key is ever printed."
}

// The files, in the directory that --dir names.
const (
	caFile      = "ca.pem"
	caKeyFile   = "ca-key.pem"
	crlFile     = "crl.pem"
	ticketsFile = "tickets.secret"
	gatewayName = "gateway"
)

// keyFile is where the key of a certificate goes: beside it.
func keyFile(base string) string { return base + "-key.pem" }

// credentialFlags are those of commands that write files and say so.
type credentialFlags struct {
	Dir  string `placeholder:"DIR" help:"Where files are written; it is made if it is not there. Default: the current directory."`
	JSON bool   `name:"json" help:"Print what was made as JSON."`
}

func (f *credentialFlags) path(name string) string { return filepath.Join(f.Dir, name) }

// made is what a command has written.
type made struct {
	For     string    `json:"for"` // whom or what it is for
	Serial  string    `json:"serial,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	File    string    `json:"file,omitempty"`
	Secret  string    `json:"secret,omitempty"` // file of the key
}

// told prints what was made; the note says what to do with it.
func (f *credentialFlags) told(e *env, all []made, note string) error {
	if f.JSON {
		return printJSON(e, all)
	}
	for _, m := range all {
		line := m.For + ":"
		if m.File != "" {
			line += " " + m.File
		}
		if m.Secret != "" && m.File != "" {
			line += ","
		}
		if m.Secret != "" {
			line += " " + m.Secret + " (secret)"
		}
		if !m.Expires.IsZero() {
			line += ", until " + m.Expires.UTC().Format(time.DateOnly)
		}
		if _, err := fmt.Fprintln(e.stdout, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(e.stdout, note)
	return err
}

// pair is a certificate and its key on the way to base.pem and base-key.pem.
func pair(whose, base string, p secure.Pair) (made, []newFile, error) {
	certificates, err := secure.ParseCertificates(p.Certificate)
	if err != nil {
		return made{}, nil, err
	}
	m := made{
		For: whose, Serial: certificates[0].SerialNumber.Text(16), Expires: certificates[0].NotAfter,
		File: base + ".pem", Secret: keyFile(base),
	}
	return m, []newFile{{m.Secret, p.Key, secretMode}, {m.File, p.Certificate, publicMode}}, nil
}

type certCACmd struct {
	credentialFlags
	Title string   `default:"Bellwire CA" placeholder:"TEXT" help:"What the CA calls itself; some digits of its key are added."`
	For   Lifetime `default:"3650d" placeholder:"TIME" help:"How long it is valid."`
}

// Run makes the CA.
func (c *certCACmd) Run(e *env) error {
	_, issued, err := secure.NewAuthority(c.Title, secure.Period{From: time.Now(), For: time.Duration(c.For)})
	if err != nil {
		return exitWith(exitUsage, err)
	}
	m, files, err := pair("CA", c.path("ca"), issued)
	if err == nil {
		err = writeNew(files...)
	}
	if err != nil {
		return err
	}
	return c.told(e, []made{m}, "Gateways believe the devices it names, and devices the gateways. Keep the secret file away from both: whoever has it can be any of them.")
}

// authorityFlags name the CA that signs.
type authorityFlags struct {
	CA    string `name:"ca" noenv:"" placeholder:"FILE" help:"Certificate of the CA. Default: ca.pem in --dir."`
	CAKey string `name:"ca-key" placeholder:"FILE" help:"Its private key. Default: ca-key.pem in --dir."`
}

// authority reads the CA.
func (f *authorityFlags) authority(files *credentialFlags) (*secure.Authority, error) {
	if f.CA == "" {
		f.CA = files.path(caFile)
	}
	if f.CAKey == "" {
		f.CAKey = files.path(caKeyFile)
	}
	return f.read("ca")
}

// read reads the CA that the command makes.
func (f *authorityFlags) read(command string) (*secure.Authority, error) {
	certificate, err := readCredential(f.CA)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate %s %w: `bellwire cert %s` makes one, --ca names another", f.CA, err, command)
	}
	key, err := readSecret(f.CAKey)
	if err != nil {
		return nil, fmt.Errorf("the CA's key %s %w", f.CAKey, err)
	}
	a, err := secure.ReadAuthority(secure.Pair{Certificate: certificate, Key: key})
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.CA, f.CAKey, err)
	}
	return a, nil
}

type certIssueCmd struct {
	credentialFlags
	authorityFlags
	Devices []string `arg:"" optional:"" name:"tenant/device" help:"Devices; each gets a certificate that names it in the URI bellwire://tenant/device."`
	Gateway []string `noenv:"" placeholder:"NAME" help:"Instead, DNS names and IP addresses that devices reach a gateway by, without port."`
	For     Lifetime `default:"365d" placeholder:"TIME" help:"How long it is valid."`
	Out     string   `placeholder:"NAME" help:"Write NAME.pem and NAME-key.pem. Default: gateway, or the device's name."`
}

// Run makes the certificates.
func (c *certIssueCmd) Run(e *env) error {
	ids, err := c.check()
	if err != nil {
		return exitWith(exitUsage, err)
	}
	a, err := c.authority(&c.credentialFlags)
	if err != nil {
		return err
	}
	all, files, err := c.pairs(a, ids)
	if err != nil {
		return exitWith(exitUsage, err)
	}
	if err := writeNew(files...); err != nil {
		return err
	}
	if len(c.Gateway) > 0 {
		return c.told(e, all, "Both files are for the gateway: its tls.certificate and tls.key.")
	}
	return c.told(e, all, "The files are for the device, and "+c.CA+" with them, by which it knows the gateway.")
}

// pairs makes the certificates; nothing is written yet.
func (c *certIssueCmd) pairs(a *secure.Authority, ids []wire.Identity) (all []made, files []newFile, err error) {
	period := secure.Period{From: time.Now(), For: time.Duration(c.For)}
	add := func(whose, name string, issued secure.Pair) error {
		m, two, err := pair(whose, c.base(name), issued)
		all, files = append(all, m), append(files, two...)
		return err
	}
	if len(c.Gateway) > 0 {
		issued, err := a.Gateway(c.Gateway, period)
		if err != nil {
			return nil, nil, fmt.Errorf("--gateway: %w", err)
		}
		err = add("gateway "+c.Gateway[0], gatewayName, issued)
		return all, files, err
	}
	for _, id := range ids {
		issued, err := a.Device(id, period)
		if err == nil {
			err = add("device "+id.String(), id.Device, issued)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return all, files, nil
}

// base is the path that .pem and -key.pem are added to.
func (c *certIssueCmd) base(name string) string {
	if c.Out != "" {
		name = c.Out
	}
	return c.path(name)
}

func (c *certIssueCmd) check() ([]wire.Identity, error) {
	switch {
	case len(c.Devices) == 0 && len(c.Gateway) == 0:
		return nil, errors.New("for whom? Name a device, as in `bellwire cert issue acme/kitchen`, or the addresses of a gateway with --gateway")
	case len(c.Devices) > 0 && len(c.Gateway) > 0:
		return nil, errors.New("--gateway: a certificate is for a gateway or for a device, not for both")
	case len(c.Devices) > 1 && c.Out != "":
		return nil, errors.New("--out: several devices cannot have the same files")
	case c.Out != "" && filepath.Base(c.Out) != c.Out:
		return nil, fmt.Errorf("--out: %q is not the name of a file: the directory goes to --dir", c.Out)
	}
	var ids []wire.Identity
	for _, text := range c.Devices {
		id, err := wire.ParseIdentity(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

type certTicketsCmd struct {
	credentialFlags
}

// Run draws the secret.
func (c *certTicketsCmd) Run(e *env) error {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	m := made{For: "TLS session tickets", Secret: c.path(ticketsFile)}
	if err := writeNew(newFile{m.Secret, []byte(hex.EncodeToString(secret[:]) + "\n"), secretMode}); err != nil {
		return err
	}
	return c.told(e, []made{m}, "Give it to all gateways of the fleet as tls.tickets. To replace it one day, put a new line before the old one.")
}
