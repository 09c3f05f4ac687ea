package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Settings is everything that `bellwire serve` can be told, by flags, environment and file alike. A field's flag, its
// variable, its key in the file, its default and the reason for it all follow from its row in settingTable.
type Settings struct {
	Name      string
	Listen    string
	ListenTLS string
	Admin     string
	AdminAuth string
	Pprof     bool
	Loops     int
	Insecure  bool
	Broadcast []string

	Cluster       string
	PeerListen    string
	Peer          []string
	PeerAdvertise string
	Fleet         FleetSettings `embed:"" prefix:"fleet-"`
	Central       string
	CentralListen string
	Data          string

	TLS       TLSSettings   `embed:"" prefix:"tls-"`
	Tokens    TokenSettings `embed:"" prefix:"tokens-"`
	Revoked   string
	Policy    string
	ProxyFrom []string
	Audit     string
	Log       LogSettings   `embed:"" prefix:"log-"`
	Limits    LimitSettings `embed:"" prefix:"limits-"`
	Drain     DrainSettings `embed:"" prefix:"drain-"`
}

// TLSSettings say how the gateway proves itself, and which device certificates it believes. All are files but Mapping
// and Curves.
type TLSSettings struct {
	Certificate string
	Key         string
	DeviceCA    []string
	CRL         []string
	Mapping     string
	Curves      string
	Tickets     string
}

// TokenSettings say which tokens the gateway believes.
type TokenSettings struct {
	Keys   []string
	Static string
}

// FleetSettings are files: how the gateway proves itself to the other gateways, and whom of them it believes.
type FleetSettings struct {
	CA   string
	Cert string
	Key  string
}

// LogSettings say what is logged and how.
type LogSettings struct {
	Level  LogLevel
	Format LogFormat
}

// LimitSettings bound what devices may use.
type LimitSettings struct {
	Connections           int
	Frame                 Size
	Subscriptions         int
	Topics                int
	TopicsPerTenant       int
	TopicRate             int
	Links                 int
	PendingBytes          Size
	PendingMessages       int
	PendingAge            time.Duration
	StuckAfter            time.Duration
	SendBuffer            Size
	UserTimeout           time.Duration
	PublishCredit         Size
	PublishPool           Size
	AuthenticateWithin    time.Duration
	Authenticating        int
	Handshakes            int
	ConnectRate           Rate
	UnprovenPerNetwork    Rate
	ConnectRatePerNetwork Rate
	PublishRate           Rate
	Replays               int
	Memory                Memory
	Keepalive             KeepaliveSettings `embed:"" prefix:"keepalive-"`
	Replay                ReplaySettings    `embed:"" prefix:"replay-"`
}

// KeepaliveSettings bound the interval of a device's PING.
type KeepaliveSettings struct {
	Min     time.Duration
	Default time.Duration
	Max     time.Duration
}

// ReplaySettings bound the ring that each stream keeps for devices that come back.
type ReplaySettings struct {
	Messages int
	Bytes    Size
	Age      time.Duration
	Total    Size
}

// DrainSettings say how the gateway takes leave of its devices.
type DrainSettings struct {
	Spread time.Duration
	Within time.Duration
}

// originKind is where a value came from, weakest first.
type originKind string

const (
	fromDefault     originKind = "default"
	fromFile        originKind = "file"
	fromEnvironment originKind = "environment"
	fromFlag        originKind = "flag"
)

// origin is where one value came from; where is the flag, the variable or file:line.
type origin struct {
	kind  originKind
	where string
}

func (o origin) String() string {
	if o.where == "" {
		return string(o.kind)
	}
	return string(o.kind) + " " + o.where
}

// effective is the settings of one run and where each of them came from.
type effective struct {
	Settings
	origins map[string]origin // by key; a key that is missing has its default
	reparse func() (*effective, error)
}

// origin of the setting with this key.
func (e *effective) origin(key string) origin {
	if o, ok := e.origins[key]; ok {
		return o
	}
	return origin{kind: fromDefault}
}

// reload reads the file again and lays the same environment and flags over it. What e holds stays as it is, so a file
// that is wrong by now changes nothing.
func (e *effective) reload() (*effective, error) { return e.reparse() }

// changes names the settings that differ in next: those that take effect in a running gateway, and those that wait for
// a restart. proven: the gateway has certificates to prove itself to others with, which others can replace.
func (e *effective) changes(next *effective, proven bool) (live, restart []string) {
	for _, row := range settingTable {
		switch {
		case reflect.DeepEqual(row.target(&e.Settings), row.target(&next.Settings)):
		case row.live() && (row.section() != "fleet" || proven && next.Fleet.whole()):
			live = append(live, row.key)
		default:
			restart = append(restart, row.key)
		}
	}
	return live, restart
}

// check holds the settings against each other; its error names each wrong one, its origin and the way out.
func (e *effective) check() error {
	var failed settingsError
	for _, p := range e.problems() {
		problem := settingsProblem{origin: e.origin(p.key), key: p.key, text: p.text}
		if other := e.origin(p.against); p.against != "" && other.kind != fromDefault {
			problem.against, problem.cause = p.against, other
		}
		failed.problems = append(failed.problems, problem)
	}
	if len(failed.problems) == 0 {
		return nil
	}
	return &failed
}

// settingsError is all that is wrong with the settings, one line each.
type settingsError struct {
	problems []settingsProblem
}

type settingsProblem struct {
	origin  origin
	key     string
	text    string
	against string // the setting that this one does not go with, if somebody set that
	cause   origin // of against
}

func (p settingsProblem) String() string {
	if p.against != "" && p.origin.kind == fromDefault {
		return fmt.Sprintf("%s: %s does not go with %s (%s): %s", p.cause.where, p.against, p.key, p.origin, p.text)
	}
	if p.origin.where == "" {
		return fmt.Sprintf("%s (%s): %s", p.key, p.origin, p.text)
	}
	return fmt.Sprintf("%s: %s: %s", p.origin.where, p.key, p.text)
}

func (e *settingsError) Error() string {
	lines := make([]string, len(e.problems))
	for i, p := range e.problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// code is a usage error as soon as a flag is wrong: the person at the keyboard can mend it.
func (e *settingsError) code() exitCode {
	for _, p := range e.problems {
		if p.origin.kind == fromFlag || p.against != "" && p.cause.kind == fromFlag {
			return exitUsage
		}
	}
	return exitFailed
}
