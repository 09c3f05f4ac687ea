package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Placeholders in the command line of a server that is measured with TLS, beside
// ListenPlaceholder and AdminPlaceholder.
const (
	TLSPlaceholder         = "{tls}"         // the port where devices speak TLS; a free address of 127.0.0.1
	CertificatePlaceholder = "{certificate}" // PEM file of the server's certificate
	KeyPlaceholder         = "{key}"         // PEM file of its key
	DeviceCAPlaceholder    = "{ca}"          // PEM file of the authority that signs the devices' certificates
)

// SecureConfig says what RunSecure measures. Zero values mean the scenario's
// defaults, which SecureScenarios tells. Of Config it takes Server, Generator,
// Command, Pin, CC, FloorOptions and Topic, and the sizes that a scenario
// mentions; Server must hold TLSPlaceholder, CertificatePlaceholder and
// KeyPlaceholder.
type SecureConfig struct {
	Config
	// DeviceCA are the arguments by which Server asks devices for certificates, with
	// DeviceCAPlaceholder.
	DeviceCA []string
	// Usual is the command line of UsualServer, with all placeholders that Server
	// has. It takes DeviceCA as well. Empty: it is not measured.
	Usual []string

	Payloads  []int         // bytes of each message, for tls-fanout
	Baseline  time.Duration // of the phase before an attack
	Attackers int           // half-open connections at once
	Sources   int           // addresses that they come from
	// OverTLS is the share of the good devices of an attack that speak TLS, 0–1.
	// Negative: none.
	OverTLS float64
}

// SecureScenario is something that can be measured of a server with TLS.
type SecureScenario struct {
	Name     string
	What     string       // in a sentence
	Defaults SecureConfig // the part of it that is the scenario's own
	quick    SecureConfig // as small as it can be
	run      func(context.Context, *secureBed) error
}

// SecureScenarios are all that RunSecure measures.
func SecureScenarios() []SecureScenario {
	return []SecureScenario{
		{
			Name: "tls-idle", What: "What an idle, subscribed device with TLS costs in memory, beside the usual Go server.", run: runTLSIdle,
			Defaults: SecureConfig{Config: Config{Subscribers: 10_000, Payload: sequenceLen, Settle: 150 * time.Second, Pairs: 1}},
			quick:    SecureConfig{Config: Config{Subscribers: 40, Pairs: 1, Settle: 20 * time.Millisecond}},
		},
		{
			Name: "tls-fanout", What: "What a delivery under TLS costs the server in CPU time, against a raw write and one seal of its size.", run: runTLSFanout,
			Defaults: SecureConfig{Config: Config{Subscribers: 1000, Payload: sequenceLen, Windows: []int{1, 32}, Pairs: 24, Slice: 200 * time.Millisecond}, Payloads: []int{64, 1024}},
			quick:    SecureConfig{Config: Config{Subscribers: 40, Windows: []int{1, 32}, Pairs: 1, Slice: 40 * time.Millisecond}, Payloads: []int{64, 1024}},
		},
		{
			Name: "attack", What: "What 1,000 devices notice while thousands of connections stand half open.", run: runAttack,
			Defaults: SecureConfig{
				Config:   Config{Subscribers: 1000, Payload: 64, Rate: 1, Pairs: 5, Slice: time.Minute},
				Baseline: time.Minute, Attackers: 10_000, Sources: 200, OverTLS: 0.5,
			},
			quick: SecureConfig{
				Config:   Config{Subscribers: 20, Rate: 20, Pairs: 1, Slice: 2200 * time.Millisecond},
				Baseline: 500 * time.Millisecond, Attackers: 100, Sources: 20,
			},
		},
		{
			Name: "handshakes", What: "Devices that all connect at once over TLS: how soon they are in, at what CPU time each, new and resumed.", run: runHandshakes,
			Defaults: SecureConfig{Config: Config{Subscribers: 5000, Payload: sequenceLen, Pairs: 5}},
			quick:    SecureConfig{Config: Config{Subscribers: 40, Pairs: 1}},
		},
	}
}

// Quick is a configuration with the smallest sizes of a scenario: to know that it
// works, not for figures.
func (c SecureConfig) Quick(scenario string) (SecureConfig, error) {
	s, err := secureScenario(scenario)
	if err != nil {
		return c, err
	}
	small := s.quick
	small.Config = small.Config.over(s.Defaults.Config)
	small.Config.Server, small.Config.Generator, small.Command, small.Pin = c.Server, c.Generator, c.Command, c.Pin
	small.Topic, small.CC, small.FloorOptions = c.Topic, c.CC, c.FloorOptions
	small.DeviceCA, small.Usual = c.DeviceCA, c.Usual
	return small, nil
}

func secureScenario(name string) (SecureScenario, error) {
	all := SecureScenarios()
	i := slices.IndexFunc(all, func(s SecureScenario) bool { return s.Name == name })
	if i < 0 {
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		return SecureScenario{}, fmt.Errorf("no scenario is called %q: take one of %s", name, strings.Join(names, ", "))
	}
	return all[i], nil
}

func (c SecureConfig) withDefaults(d SecureConfig) (SecureConfig, error) {
	c.Floors = []string{NoFloor} // scenarios have floors of their own
	c.Config = c.Config.over(d.Config)
	c.Baseline = cmp.Or(c.Baseline, d.Baseline)
	c.Attackers = cmp.Or(c.Attackers, d.Attackers)
	c.Sources = cmp.Or(c.Sources, d.Sources)
	c.OverTLS = cmp.Or(c.OverTLS, d.OverTLS)
	if len(c.Payloads) == 0 {
		c.Payloads = d.Payloads
	}
	line := strings.Join(c.Server, " ")
	for _, p := range []string{ListenPlaceholder, AdminPlaceholder, TLSPlaceholder, CertificatePlaceholder, KeyPlaceholder} {
		if !strings.Contains(line, p) {
			return c, fmt.Errorf("the server's command line %q must hold %s", line, p)
		}
	}
	small := slices.ContainsFunc(c.Payloads, func(n int) bool { return n < sequenceLen || n > 8192 })
	switch {
	case small:
		return c, fmt.Errorf("payloads of %v bytes: take %d, for the message's number, to 8192", c.Payloads, sequenceLen)
	case c.OverTLS > 1:
		return c, fmt.Errorf("a share of %g of the devices over TLS: take at most 1", c.OverTLS)
	case c.Baseline < 0 || c.Slice < 0 || c.Settle < 0:
		return c, errors.New("times must not be negative")
	case c.Attackers < 0 || c.Attackers > 0 && (c.Sources < 1 || c.Sources > maxSources):
		return c, fmt.Errorf("%d attackers from %d addresses: take some, from 1 to %d", c.Attackers, c.Sources, maxSources)
	}
	return c, c.Config.check()
}

// RunSecure measures one scenario of a server with TLS. It makes the certificates
// itself and starts every server. It reports its progress to w; the figures are
// in the result.
func RunSecure(ctx context.Context, scenario string, cfg SecureConfig, w io.Writer) (Result, error) {
	s, err := secureScenario(scenario)
	if err != nil {
		return Result{}, err
	}
	if cfg, err = cfg.withDefaults(s.Defaults); err != nil {
		return Result{}, err
	}
	r := Result{
		Name: scenario, Scenario: scenario, Date: time.Now().UTC().Truncate(time.Second), Command: cfg.Command,
		Server: commandLine(cfg.Server), Machine: thisMachine(),
	}
	b, err := newSecureBed(ctx, cfg, &r, w)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := s.run(ctx, b); err != nil {
		return r, err
	}
	b.describe()
	return r, nil
}

// secureBed is a bed whose servers have certificates.
type secureBed struct {
	*bed
	conf      SecureConfig
	authority *authority
	roots     []byte
	files     certificateFiles
}

func newSecureBed(ctx context.Context, cfg SecureConfig, r *Result, w io.Writer) (b *secureBed, err error) {
	plain := cfg.Config
	plain.Server, plain.Peers, plain.Floors = nil, nil, nil // scenarios start theirs
	b = &secureBed{conf: cfg}
	if b.bed, err = newBed(ctx, plain, r, w); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	if b.roots, err = b.authority.encode(false); err != nil {
		return nil, err
	}
	b.files, err = b.authority.write(b.dir)
	return b, err
}

// server is a candidate that shows a certificate.
func (b *secureBed) server(name string, command []string) candidate {
	cpu, _ := b.cpus()
	return candidate{name, "bellwire", false, func(ctx context.Context) (*process, error) {
		return startSecure(ctx, command, b.files, cpu)
	}}
}

// secret is what the devices of a system need to know.
func (b *secureBed) secret(s *system) *secret {
	return &secret{Remote: s.secure, Roots: b.roots, Sources: secretSources}
}

// secretSources is how many loopback addresses good devices come from.
const secretSources = 20

// startSecure starts a server on one CPU (any, if negative) and waits until it
// says that it is ready.
func startSecure(ctx context.Context, command []string, files certificateFiles, cpu int) (*process, error) {
	free, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	args := filled(command, ListenPlaceholder, free[0].String(), AdminPlaceholder, free[1].String(), TLSPlaceholder, free[2].String(),
		CertificatePlaceholder, files.certificate, KeyPlaceholder, files.key, DeviceCAPlaceholder, files.ca)
	return launch(ctx, &process{cmd: exec.Command(args[0], args[1:]...), device: free[0], admin: "http://" + free[1].String(), secure: free[2]}, cpu)
}
