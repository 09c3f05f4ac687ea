package main

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/bellwire/bellwire/gateway"
)

// gatewayConfig is the one place where settings become what package gateway asks for.
func gatewayConfig(s Settings, log *slog.Logger) gateway.Config {
	cfg := gateway.Config{
		Name:      s.Name,
		Listen:    s.Listen,
		Admin:     s.Admin,
		Insecure:  s.Insecure,
		Pprof:     s.Pprof,
		Loops:     s.Loops,
		Broadcast: s.Broadcast,
		Limits:    gatewayLimits(s.Limits),
		// A gateway takes zero for its default; here it means at once.
		DrainSpread: cmp.Or(s.Drain.Spread, time.Nanosecond),
		DrainWithin: cmp.Or(s.Drain.Within, time.Nanosecond),
		Logger:      log,
	}
	if s.Admin == adminOff {
		cfg.Admin = ""
	}
	return cfg
}

// adminOff is the admin address of a gateway without one.
const adminOff = "off"

func gatewayLimits(l LimitSettings) gateway.Limits {
	return gateway.Limits{
		Connections:        l.Connections,
		Frame:              int(l.Frame),
		Subscriptions:      l.Subscriptions,
		Topics:             l.Topics,
		TopicsPerTenant:    l.TopicsPerTenant,
		TopicRate:          l.TopicRate,
		Links:              l.Links,
		PendingBytes:       int(l.PendingBytes),
		PendingMessages:    l.PendingMessages,
		PendingAge:         l.PendingAge,
		StuckAfter:         l.StuckAfter,
		PublishCredit:      int(l.PublishCredit),
		CreditPool:         int(l.PublishPool),
		AuthenticateWithin: l.AuthenticateWithin,
		Authenticating:     l.Authenticating,
		ConnectRate:        gatewayRate(l.ConnectRate),
		PublishRate:        gatewayRate(l.PublishRate),
		KeepaliveMin:       l.Keepalive.Min,
		Keepalive:          l.Keepalive.Default,
		KeepaliveMax:       l.Keepalive.Max,
		UserTimeout:        l.UserTimeout,
		SendBuffer:         int(l.SendBuffer),
		RingMessages:       l.Replay.Messages,
		RingBytes:          int(l.Replay.Bytes),
		RingAge:            l.Replay.Age,
		RingTotal:          int(l.Replay.Total),
		Replays:            l.Replays,
	}
}

// gatewayRate: a gateway takes zero for auto and less for off.
func gatewayRate(r Rate) int {
	switch r {
	case RateAuto:
		return 0
	case 0:
		return -1
	}
	return int(r)
}
