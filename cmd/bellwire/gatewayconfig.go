package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/secure"
)

// gatewayConfig is the one place where settings become what package gateway asks for.
func gatewayConfig(s Settings, log *slog.Logger) gateway.Config {
	cfg := gateway.Config{
		Name:      s.Name,
		Listen:    s.Listen,
		ListenTLS: s.ListenTLS,
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
	switch s.Limits.Memory { // a gateway takes zero for auto and less for off
	case MemoryAuto:
		cfg.Memory = 0
	case 0:
		cfg.Memory = -1
	default:
		cfg.Memory = int64(s.Limits.Memory)
	}
	if s.Admin == adminOff {
		cfg.Admin = ""
	}
	return cfg
}

// fullConfig is gatewayConfig with what stands in files: whom to believe, and who may what; and how the gateway proves
// itself to others, nil if it does not. It is read anew at each reload; tickets is the secret of session tickets if no
// file has one.
func fullConfig(s Settings, log *slog.Logger, tickets []byte) (gateway.Config, *secure.Fleet, error) {
	cfg := gatewayConfig(s, log)
	proof, err := readProof(s)
	if err != nil {
		return cfg, nil, fmt.Errorf("config: %w", err)
	}
	joinFleet(&cfg, s, proof)
	if cfg.Trust, err = newTrust(trustPaths{
		Certificate: s.TLS.Certificate, Key: s.TLS.Key, DeviceCA: s.TLS.DeviceCA, CRL: s.TLS.CRL,
		Mapping: s.TLS.Mapping, Curves: s.TLS.Curves, Tickets: s.TLS.Tickets,
		Drawn: tickets, TokenKeys: s.Tokens.Keys, Static: s.Tokens.Static, Revoked: s.Revoked,
	}); err != nil {
		return cfg, nil, fmt.Errorf("config: %w", err)
	}
	if s.Policy != "" {
		var quotas map[string]quota
		if cfg.Policy, quotas, err = readPolicyFile(s.Policy); err != nil {
			return cfg, nil, fmt.Errorf("config: policy: %w", err)
		}
		cfg.Quotas = gatewayQuotas(quotas)
	}
	for i, network := range s.ProxyFrom {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return cfg, nil, fmt.Errorf("config: proxy_from[%d]: %q is not a network: write one such as 10.0.0.0/8", i, network)
		}
		cfg.ProxyFrom = append(cfg.ProxyFrom, prefix.Masked())
	}
	return cfg, proof, nil
}

func gatewayQuotas(quotas map[string]quota) map[string]gateway.Quota {
	all := make(map[string]gateway.Quota, len(quotas))
	for tenant, q := range quotas {
		all[tenant] = gateway.Quota{Connections: q.Connections, PublishRate: q.PublishRate, BytesOut: int(q.BytesOut)}
	}
	return all
}

// adminOff is the admin address of a gateway without one.
const adminOff = "off"

func gatewayLimits(l LimitSettings) gateway.Limits {
	return gateway.Limits{
		Connections:           l.Connections,
		Frame:                 int(l.Frame),
		Subscriptions:         l.Subscriptions,
		Topics:                l.Topics,
		TopicsPerTenant:       l.TopicsPerTenant,
		TopicRate:             l.TopicRate,
		Links:                 l.Links,
		PendingBytes:          int(l.PendingBytes),
		PendingMessages:       l.PendingMessages,
		PendingAge:            l.PendingAge,
		StuckAfter:            l.StuckAfter,
		PublishCredit:         int(l.PublishCredit),
		CreditPool:            int(l.PublishPool),
		AuthenticateWithin:    l.AuthenticateWithin,
		Authenticating:        l.Authenticating,
		Handshakes:            l.Handshakes,
		UnprovenPerNetwork:    gatewayRate(l.UnprovenPerNetwork),
		ConnectRatePerNetwork: gatewayRate(l.ConnectRatePerNetwork),
		ConnectRate:           gatewayRate(l.ConnectRate),
		PublishRate:           gatewayRate(l.PublishRate),
		KeepaliveMin:          l.Keepalive.Min,
		Keepalive:             l.Keepalive.Default,
		KeepaliveMax:          l.Keepalive.Max,
		UserTimeout:           l.UserTimeout,
		SendBuffer:            int(l.SendBuffer),
		RingMessages:          l.Replay.Messages,
		RingBytes:             int(l.Replay.Bytes),
		RingAge:               l.Replay.Age,
		RingTotal:             int(l.Replay.Total),
		Replays:               l.Replays,
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
