package main

import (
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/bellwire/bellwire/bench"
)

// benchSecureCmds are those that measure a gateway with TLS, and the server that
// they measure beside it.
type benchSecureCmds struct {
	TLSIdle     benchTLSIdleCmd     `cmd:"" name:"tls-idle" help:"What an idle, subscribed device with TLS costs in memory, beside the usual Go server."`
	TLSFanout   benchTLSFanoutCmd   `cmd:"" name:"tls-fanout" help:"What a delivery under TLS costs, against a raw write and one seal."`
	Attack      benchAttackCmd      `cmd:"" help:"What good devices notice while thousands of connections stand half open."`
	Handshakes  benchHandshakesCmd  `cmd:"" help:"Devices that all connect at once over TLS, with new sessions and with resumed ones."`
	UsualServer benchUsualServerCmd `cmd:"" hidden:"" help:"Be the usual Go server that is measured beside a gateway."`
}

// benchSecure says which gateway a scenario with TLS measures.
type benchSecure struct {
	benchOutput
	Gateway    string `placeholder:"COMMAND" help:"Command line of the gateway, with {listen}, {admin} and {tls} for its addresses, {certificate} and {key} for its files. Default: serve of this program."`
	DeviceCA   string `name:"device-ca" default:"--tls-device-ca {ca}" placeholder:"ARGUMENTS" help:"By which it asks devices for certificates, with {ca} for the authority's file."`
	ServeFlags string `placeholder:"ARGUMENTS" help:"More of them for the default command line."`
	CC         string `name:"cc" default:"cc" placeholder:"COMMAND" help:"C compiler of the raw writes."`
	Pin        bool   `help:"Servers on CPU 0, load on CPU 1."`
	Quick      bool   `help:"Everything tiny: to know that it works, not for figures."`
}

// secureFlags are the arguments of a server by which it speaks TLS.
func secureFlags() []string {
	return []string{
		"--listen", bench.ListenPlaceholder, "--admin", bench.AdminPlaceholder, "--listen-tls", bench.TLSPlaceholder,
		"--tls-certificate", bench.CertificatePlaceholder, "--tls-key", bench.KeyPlaceholder,
	}
}

// config is what it says of a run.
func (s *benchSecure) config(e *env) bench.SecureConfig {
	server := strings.Fields(s.Gateway)
	if s.Gateway == "" {
		server = append(append([]string{e.program, "serve"}, secureFlags()...), strings.Fields(s.ServeFlags)...)
	}
	return bench.SecureConfig{
		Config: bench.Config{Server: server, Generator: []string{e.program, "bench", "generate"}, CC: s.CC, Pin: s.Pin},
		// Both take the same arguments.
		DeviceCA: strings.Fields(s.DeviceCA), Usual: append([]string{e.program, "bench", "usual-server"}, secureFlags()...),
	}
}

// measured runs a scenario and shows its result.
func (s *benchSecure) measured(e *env, k *kong.Context, scenario string, c bench.SecureConfig) error {
	ctx, stop := e.interruptible()
	defer stop()
	c.Command = s.command(k)
	if s.Quick {
		var err error
		if c, err = c.Quick(scenario); err != nil {
			return err
		}
	}
	r, err := bench.RunSecure(ctx, scenario, c, e.stderr)
	return s.done(e, r, err)
}

type benchTLSIdleCmd struct {
	benchSecure
	Devices int           `default:"10000" placeholder:"N" help:"Devices, connected and subscribed."`
	Settle  time.Duration `default:"150s" placeholder:"TIME" help:"How long to wait for the garbage collection after the last connection. Go collects after two minutes."`
	Runs    int           `default:"1" placeholder:"N" help:"Of each kind of device, each with a server of its own."`
}

// Run measures.
func (c *benchTLSIdleCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Settle, b.Pairs = c.Devices, c.Settle, c.Runs
	return c.measured(e, k, "tls-idle", b)
}

type benchTLSFanoutCmd struct {
	benchSecure
	Subscribers int           `default:"1000" placeholder:"N" help:"Devices subscribed to the one topic."`
	Payloads    []int         `default:"64,1024" placeholder:"BYTES" help:"Of each message."`
	Windows     []int         `default:"1,32" placeholder:"N" help:"Messages published in one write."`
	Pairs       int           `default:"24" placeholder:"N" help:"How often each is measured, in turns."`
	Slice       time.Duration `default:"200ms" placeholder:"TIME" help:"Of one measurement, at least."`
}

// Run measures.
func (c *benchTLSFanoutCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Payloads, b.Windows, b.Pairs, b.Slice = c.Subscribers, c.Payloads, c.Windows, c.Pairs, c.Slice
	return c.measured(e, k, "tls-fanout", b)
}

type benchAttackCmd struct {
	benchSecure
	Devices   int           `default:"1000" placeholder:"N" help:"Good devices, each with a topic of its own."`
	TLSShare  float64       `name:"tls-share" default:"0.5" placeholder:"SHARE" help:"Of the good devices that speak TLS."`
	Rate      float64       `default:"1" placeholder:"N" help:"Messages per second of each, which come back to it."`
	Attackers int           `default:"10000" placeholder:"N" help:"Half-open connections at once."`
	Sources   int           `default:"200" placeholder:"N" help:"Addresses that they come from."`
	Baseline  time.Duration `default:"1m" placeholder:"TIME" help:"Before the attack."`
	Duration  time.Duration `default:"1m" placeholder:"TIME" help:"Of the attack."`
	Runs      int           `default:"5" placeholder:"N" help:"Each with a gateway of its own."`
}

// Run measures.
func (c *benchAttackCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.OverTLS, b.Rate, b.Attackers, b.Sources = c.Devices, c.TLSShare, c.Rate, c.Attackers, c.Sources
	b.Baseline, b.Slice, b.Pairs = c.Baseline, c.Duration, c.Runs
	if c.TLSShare == 0 {
		b.OverTLS = -1
	}
	return c.measured(e, k, "attack", b)
}

type benchHandshakesCmd struct {
	benchSecure
	Devices int `default:"5000" placeholder:"N" help:"That all connect at once."`
	Pairs   int `default:"5" placeholder:"N" help:"How often, with new sessions and with resumed ones in turns."`
}

// Run measures.
func (c *benchHandshakesCmd) Run(e *env, k *kong.Context) error {
	b := c.config(e)
	b.Subscribers, b.Pairs = c.Devices, c.Pairs
	return c.measured(e, k, "handshakes", b)
}

type benchUsualServerCmd struct {
	Listen         string `required:"" placeholder:"ADDRESS" help:"For plain devices."`
	ListenTLS      string `name:"listen-tls" required:"" placeholder:"ADDRESS" help:"For devices with TLS."`
	Admin          string `required:"" placeholder:"ADDRESS" help:"For health and metrics."`
	TLSCertificate string `name:"tls-certificate" required:"" placeholder:"FILE" help:"The server's certificate."`
	TLSKey         string `name:"tls-key" required:"" placeholder:"FILE" help:"Its key."`
	TLSDeviceCA    string `name:"tls-device-ca" placeholder:"FILE" help:"Who signs the certificates of devices."`
}

// Run serves until it is interrupted.
func (c *benchUsualServerCmd) Run(e *env) error {
	ctx, stop := e.interruptible()
	defer stop()
	return bench.UsualServer(ctx, bench.UsualConfig{
		Listen: c.Listen, ListenTLS: c.ListenTLS, Admin: c.Admin, Certificate: c.TLSCertificate, Key: c.TLSKey, DeviceCA: c.TLSDeviceCA,
	})
}
