package bench

import (
	"context"
	"errors"
	"fmt"
)

const (
	newSessions     = "new sessions"
	resumedSessions = "resumed sessions"

	rushCost    = "CPU per handshake and subscribe"
	rushRate    = "devices in"
	rushLast    = "time until the last is in"
	rushAgain   = "devices that had to come again"
	rushFailed  = "attempts that failed, per device"
	rushResumed = "devices that resumed a TLS session"
)

// runHandshakes lets all devices connect at once over TLS, first with new
// sessions, then with those that they have been given.
func runHandshakes(ctx context.Context, b *secureBed) error {
	b.r.set("devices at once", b.Subscribers)
	b.r.set("certificates, keys", "ECDSA P-256, devices show none")
	b.r.set("key exchange", "what Go offers, with ML-KEM")
	b.r.set("attempts of a device", "as many as it takes, after the delay that the server gives, else 50 ms and more, doubling, spread")
	c := b.server(gatewayName, b.conf.Server)
	b.candidates = []candidate{c}
	s, err := b.start(ctx, c, c.name)
	if err != nil {
		return err
	}
	rush := func(resume bool) (outcome, error) {
		return s.do(ctx, order{Rush: &rushOrder{
			TLS: *b.secret(s), Topic: b.Topic, Devices: b.Subscribers, Resume: resume, PID: s.pid(),
		}})
	}
	if _, err := rush(false); err != nil { // pools and tables grow once
		return err
	}
	kinds := []string{newSessions, resumedSessions}
	b.bar.expect(b.Pairs * len(kinds))
	for range b.Pairs {
		for _, kind := range kinds {
			a, err := rush(kind == resumedSessions)
			if err != nil {
				return err
			}
			// Who came again may have been given one by the attempt before.
			if kind == newSessions && a.Resumed > a.Again {
				return fmt.Errorf("%d devices resumed a session that they cannot have", a.Resumed-a.Again)
			}
			b.addRush(s, kind, a)
			b.bar.step("%s: all in after %s s, %d had to come again", kind, number(a.Elapsed.Seconds()), a.Again)
		}
	}
	return b.concludeHandshakes(kinds)
}

func (b *secureBed) addRush(s *system, kind string, a outcome) {
	n := float64(b.Subscribers)
	add := func(quantity, unit string, v float64) { b.add(s, kind+", "+quantity, unit, v) }
	add(rushCost, "µs", micro(a.CPU)/n)
	add(rushRate, "/s", n/a.Elapsed.Seconds())
	add(rushLast, "s", a.Elapsed.Seconds())
	for i, p := range latencyPercentiles[:len(latencyPercentiles)-1] {
		add("time to be in p"+fmt.Sprint(p), "ms", milli(a.Latency[i]))
	}
	add(rushAgain, "", float64(a.Again))
	add(rushFailed, "", float64(a.Failed)/n)
	add(rushResumed, "", float64(a.Resumed))
}

func (b *secureBed) concludeHandshakes(kinds []string) error {
	target := func(quantity, kind string) string {
		if !b.Pin || b.Subscribers != 5000 {
			return ""
		}
		return map[string]string{
			rushCost + newSessions: "handshake-cpu", rushCost + resumedSessions: "handshake-cpu-resumed",
			rushLast + newSessions: "handshake-last", rushLast + resumedSessions: "handshake-last-resumed",
		}[quantity+kind]
	}
	name := func(kind, quantity string) string { return gatewayName + ", " + kind + ", " + quantity }
	err := b.r.ratio(gatewayName+", "+rushCost+", resumed over new", "", name(resumedSessions, rushCost), name(newSessions, rushCost))
	quantities := []string{rushCost, rushRate, rushLast}
	for _, p := range latencyPercentiles[:len(latencyPercentiles)-1] {
		quantities = append(quantities, "time to be in p"+fmt.Sprint(p))
	}
	for _, q := range append(quantities, rushAgain, rushFailed, rushResumed) {
		for _, kind := range kinds {
			err = errors.Join(err, b.r.figure(name(kind, q), target(q, kind), name(kind, q)))
		}
	}
	return err
}
