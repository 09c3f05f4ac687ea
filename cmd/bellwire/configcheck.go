package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/wire"
)

// problem is what is wrong with one setting, and the way out. against is the other setting that it does not go with, if
// there is one: whoever set that may be to blame.
type problem struct {
	key, text, against string
}

// problems holds every setting against its bounds and against the others.
func (s *Settings) problems() []problem {
	var found []problem
	wrong := func(key, format string, args ...any) {
		found = append(found, problem{key: key, text: fmt.Sprintf(format, args...)})
	}
	clash := func(key, against, format string, args ...any) {
		found = append(found, problem{key: key, against: against, text: fmt.Sprintf(format, args...)})
	}
	between := func(key string, value, low, high int) {
		if value < low || value > high {
			wrong(key, "%d is out of range: write %d to %d", value, low, high)
		}
	}
	s.addressProblems(wrong)
	s.sharedAddresses(clash)
	if s.Audit == "" {
		wrong("audit", "names nothing: write log, off, or a file such as /var/log/bellwire/audit.log")
	}
	between("loops", s.Loops, 0, 64)
	if len(s.Broadcast) == 0 {
		wrong("broadcast", "is empty, so nothing could be broadcast: name a filter such as broadcast/#")
	}
	for _, filter := range s.Broadcast {
		if err := wire.CheckFilter([]byte(filter)); err != nil {
			wrong("broadcast", "%v", err)
		}
	}
	s.fleetProblems(wrong, clash)
	s.centralProblems(wrong, clash)
	s.secureProblems(wrong, clash)
	s.Limits.problems(wrong, clash, between)
	s.Drain.problems(wrong)
	return found
}

func (l *LimitSettings) problems(wrong func(string, string, ...any), clash func(string, string, string, ...any), between func(string, int, int, int)) {
	const many = 1 << 30
	between("limits.connections", l.Connections, 0, many)
	between("limits.subscriptions", l.Subscriptions, 1, many)
	between("limits.topics", l.Topics, 1, many)
	if most := l.Topics; l.TopicsPerTenant < 1 || l.TopicsPerTenant > most {
		clash("limits.topics_per_tenant", "limits.topics", "%d is out of range: write 1 to %d", l.TopicsPerTenant, most)
	}
	between("limits.topic_rate", l.TopicRate, 1, many)
	between("limits.links", l.Links, 1, 1<<24)
	between("limits.pending_messages", l.PendingMessages, 1, many/4)
	between("limits.handshakes", l.Handshakes, 1, many)
	between("limits.authenticating", l.Authenticating, 1, many)
	between("limits.replays", l.Replays, 1, many)
	between("limits.replay.messages", l.Replay.Messages, 1, many)
	if l.Frame < 1<<10 || l.Frame > 1<<20 || l.Frame&(l.Frame-1) != 0 {
		wrong("limits.frame", "%s cannot be told to a device: write a power of two from 1KiB to 1MiB", l.Frame)
	}
	if l.PendingBytes < l.Frame {
		clash("limits.pending_bytes", "limits.frame", "%s is less than one frame: write at least limits.frame, %s", l.PendingBytes, l.Frame)
	}
	if l.PublishCredit < 2*l.Frame {
		clash("limits.publish_credit", "limits.frame", "%s is less than two frames: write at least twice limits.frame, %s", l.PublishCredit, 2*l.Frame)
	}
	if l.PublishPool < l.PublishCredit {
		clash("limits.publish_pool", "limits.publish_credit", "%s is less than one device may take: write at least limits.publish_credit, %s", l.PublishPool, l.PublishCredit)
	}
	if l.Replay.Total < l.Replay.Bytes {
		clash("limits.replay.total", "limits.replay.bytes", "%s is less than one stream may keep: write at least limits.replay.bytes, %s", l.Replay.Total, l.Replay.Bytes)
	}
	if l.Memory > 0 && l.Memory < 64<<20 {
		wrong("limits.memory", "%s is less than a gateway takes that has something to do: write at least 64MiB, or off", l.Memory)
	}
	if l.PublishPool < 64<<10 {
		wrong("limits.publish_pool", "%s is too little: write at least 64KiB", l.PublishPool)
	}
	if l.SendBuffer < 4<<10 {
		wrong("limits.send_buffer", "%s is too little: write at least 4KiB", l.SendBuffer)
	}
	if l.Replay.Bytes < 1 {
		wrong("limits.replay.bytes", "is nothing: write at least 1")
	}
	// A gateway's clock ticks once a second.
	atLeast(wrong, "limits.pending_age", l.PendingAge, time.Second)
	atLeast(wrong, "limits.stuck_after", l.StuckAfter, time.Second)
	atLeast(wrong, "limits.user_timeout", l.UserTimeout, time.Second)
	atLeast(wrong, "limits.authenticate_within", l.AuthenticateWithin, time.Second)
	atLeast(wrong, "limits.replay.age", l.Replay.Age, time.Second)
	l.Keepalive.problems(wrong, clash)
}

func (k *KeepaliveSettings) problems(wrong func(string, string, ...any), clash func(string, string, string, ...any)) {
	for _, each := range []struct {
		key   string
		value time.Duration
	}{{"limits.keepalive.min", k.Min}, {"limits.keepalive.default", k.Default}, {"limits.keepalive.max", k.Max}} {
		if each.value < time.Second || each.value%time.Second != 0 {
			wrong(each.key, "%s cannot be told to a device: write whole seconds, at least 1s", durationText(each.value))
		}
	}
	if k.Default < k.Min || k.Default > k.Max {
		against := "limits.keepalive.min"
		if k.Default > k.Max {
			against = "limits.keepalive.max"
		}
		clash("limits.keepalive.default", against, "%s is out of range: write limits.keepalive.min to max, %s to %s",
			durationText(k.Default), durationText(k.Min), durationText(k.Max))
	}
	if k.Max > 12*time.Hour {
		wrong("limits.keepalive.max", "%s is too long: write at most 12h", durationText(k.Max))
	}
}

// mostDrain is what a gateway takes: a device is told both times together in 32 bits of milliseconds.
const mostDrain = 24 * time.Hour

func (d *DrainSettings) problems(wrong func(string, string, ...any)) {
	for _, each := range []struct {
		key   string
		value time.Duration
	}{{"drain.spread", d.Spread}, {"drain.within", d.Within}} {
		atLeast(wrong, each.key, each.value, 0)
		if each.value > mostDrain {
			wrong(each.key, "%s is too long: write at most %s", durationText(each.value), durationText(mostDrain))
		}
	}
}

func atLeast(wrong func(string, string, ...any), key string, value, low time.Duration) {
	if value < low {
		wrong(key, "%s is too short: write at least %s", durationText(value), durationText(low))
	}
}

// secureProblems holds what belongs together for TLS. Whether the files are good is seen when they are read.
func (s *Settings) secureProblems(wrong func(string, string, ...any), clash func(string, string, string, ...any)) {
	if (s.TLS.Certificate == "") != (s.TLS.Key == "") {
		clash("tls.certificate", "tls.key", "a certificate and its key go together: set tls.certificate and tls.key")
	}
	if s.TLS.Curves != "auto" && s.TLS.Curves != "x25519" {
		wrong("tls.curves", "%q is not known: write auto or x25519", s.TLS.Curves)
	}
	for _, network := range s.ProxyFrom {
		if _, err := netip.ParsePrefix(network); err != nil {
			wrong("proxy_from", "%q is not a network: write one such as 10.0.0.0/8", network)
		}
	}
	if s.ListenTLS == "" {
		if s.Listen == gateway.ListenOff {
			clash("listen", "listen_tls", "is off, and there is no listen_tls: devices need an address")
		}
		return
	}
	loopback, err := addressIsLoopback(s.ListenTLS)
	switch {
	case err != nil:
		wrong("listen_tls", "%q is not host:port (%v): write one such as 127.0.0.1:7315", s.ListenTLS, err)
	case s.TLS.Certificate == "":
		clash("listen_tls", "tls.certificate", "needs a certificate to show devices: set tls.certificate and tls.key (bellwire cert issue --gateway makes them)")
	case !loopback && !s.Insecure && len(s.TLS.DeviceCA) == 0 && len(s.Tokens.Keys) == 0 && s.Tokens.Static == "":
		wrong("listen_tls", "%s is not loopback, and anyone could connect: say how devices prove who they are (tls.device_ca, tokens.keys or tokens.static), "+
			"or set insecure to true if that is meant", s.ListenTLS)
	}
}

// addressProblems: plain device ports stay on loopback unless insecure says otherwise, and so does an admin port without
// tokens and TLS.
func (s *Settings) addressProblems(wrong func(string, string, ...any)) {
	check := func(key, address, example string) {
		loopback, err := addressIsLoopback(address)
		switch {
		case err != nil:
			wrong(key, "%q is not host:port (%v): write one such as %s", address, err, example)
		case !loopback && !s.Insecure:
			wrong(key, "%s is not loopback, and plain TCP can be read and forged on the way: "+
				"use listen_tls there and listen on %s, or set insecure to true if that is meant", address, example)
		}
	}
	if s.Listen != gateway.ListenOff {
		check("listen", s.Listen, "127.0.0.1:7311")
	}
	switch tokens := s.AdminAuth == adminAuthToken; {
	case s.Admin == adminOff:
	case tokens && s.TLS.Certificate != "":
		if _, err := addressIsLoopback(s.Admin); err != nil {
			wrong("admin", "%q is not host:port (%v): write one such as 127.0.0.1:7312", s.Admin, err)
		}
	default:
		loopback, err := addressIsLoopback(s.Admin)
		switch {
		case err != nil:
			wrong("admin", "%q is not host:port (%v): write one such as 127.0.0.1:7312", s.Admin, err)
		case !loopback && !s.Insecure:
			wrong("admin", "%s is not loopback, and anyone could ask there: set admin_auth to token, with tokens.keys, tls.certificate and tls.key, "+
				"or take 127.0.0.1:7312; insecure allows it all the same", s.Admin)
		}
	}
	if s.AdminAuth != adminAuthOff && s.AdminAuth != adminAuthToken {
		wrong("admin_auth", "%q is not known: write off or token", s.AdminAuth)
	}
	if s.AdminAuth == adminAuthToken && len(s.Tokens.Keys) == 0 {
		wrong("admin_auth", "there is no key that tokens are believed by: set tokens.keys (bellwire token key makes one)")
	}
}

// addressIsLoopback says whether host:port is of this machine alone.
func addressIsLoopback(address string) (bool, error) {
	host, _, err := splitAddress(address)
	return err == nil && hostIsLoopback(host), err
}

// hostIsLoopback: a name other than localhost counts as not loopback, since what it resolves to may change.
func hostIsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// splitAddress reads host:port; its errors are shorter than those of package net.
func splitAddress(address string) (host string, port uint64, err error) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return "", 0, errors.New("no port")
	}
	if port, err = strconv.ParseUint(address[colon+1:], 10, 16); err != nil {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", address[colon+1:])
	}
	host = address[:colon]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1], port, nil
	}
	if strings.ContainsRune(host, ':') {
		return "", 0, errors.New("an IPv6 address needs brackets")
	}
	return host, port, nil
}

// sharedAddresses: who gets no address because this same gateway has taken it would look for another process.
func (s *Settings) sharedAddresses(clash func(string, string, string, ...any)) {
	taken := map[string]string{} // key, by host and port
	for _, listener := range []struct{ key, address string }{
		{"listen", s.Listen}, {"listen_tls", s.ListenTLS}, {"admin", s.Admin}, {"peer_listen", s.PeerListen}, {"central_listen", s.CentralListen},
	} {
		host, port, err := splitAddress(listener.address)
		if err != nil || port == 0 { // off, or wrong, which others say; or any that is free
			continue
		}
		at := net.JoinHostPort(host, strconv.FormatUint(port, 10))
		if other := taken[at]; other != "" {
			clash(listener.key, other, "%s and %s are both %s: take another port for one of them", other, listener.key, at)
		}
		taken[at] = listener.key
	}
}
