package bench

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed peers/*.conf
var peerConfigs embed.FS

// peer is another server that is measured beside the gateway, in its best
// documented configuration.
type peer struct {
	name     string
	protocol string
	program  string
	args     []string // with ListenPlaceholder, or configPlaceholder
	config   string   // file of peers/, with portPlaceholder
	version  []string // arguments that make it say its version in the first line
	get      string   // how to install it
}

const (
	configPlaceholder = "{config}"
	portPlaceholder   = "{port}"
)

var peers = []peer{
	{
		name: "nats", protocol: "nats", program: "nats-server", args: []string{"-c", configPlaceholder}, config: "nats.conf",
		version: []string{"--version"}, get: "make peers",
	},
	{
		name: "mosquitto", protocol: "mqtt", program: "mosquitto", args: []string{"-c", configPlaceholder}, config: "mosquitto.conf", //nolint:misspell // a name
		version: []string{"-h"}, get: "make peers",
	},
	{
		name: "redis", protocol: "redis", program: "redis-server", args: []string{configPlaceholder}, config: "redis.conf",
		version: []string{"--version"}, get: "make peers",
	},
	{
		name: "mochi", protocol: "mqtt", program: "mochi", args: []string{ListenPlaceholder},
		version: []string{"--version"}, get: "make peers",
	},
}

// PeerNames are the servers that Config.Peers may name.
func PeerNames() []string {
	var names []string
	for _, p := range peers {
		names = append(names, p.name)
	}
	return names
}

func peerByName(name string) (peer, error) {
	for _, p := range peers {
		if p.name == name {
			return p, nil
		}
	}
	return peer{}, fmt.Errorf("no peer is called %q: take some of %v", name, PeerNames())
}

// find looks for the program on the PATH, in the tools and where systems keep
// servers.
func (p peer) find(tools string) (path string, err error) {
	places := []string{filepath.Join(tools, p.program), p.program, filepath.Join("/usr/sbin", p.program), filepath.Join("/usr/local/sbin", p.program)}
	if tools == "" {
		places = places[1:]
	}
	for _, place := range places {
		if path, err = exec.LookPath(place); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("not installed: %s", p.get)
}

// says is the first line of what the program says of its version.
func (p peer) says(ctx context.Context, path string) string {
	out, _ := exec.CommandContext(ctx, path, p.version...).Output() // some tell their version and fail
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if first == "" {
		return p.program + " of unknown version"
	}
	return first
}

// start starts the peer on a free port; its configuration is written into dir.
func (p peer) start(ctx context.Context, path, dir string, cpu int) (*process, error) {
	at, _, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%d.conf", p.name, at.Port()))
	if p.config != "" {
		text, err := peerConfigs.ReadFile("peers/" + p.config)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), portPlaceholder, fmt.Sprint(at.Port()))), 0o644); err != nil {
			return nil, err
		}
	}
	args := filled(p.args, configPlaceholder, file, ListenPlaceholder, at.String())
	s := &process{cmd: exec.Command(path, args...), device: at}
	s.cmd.Dir = dir
	if err := s.start(cpu); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}
