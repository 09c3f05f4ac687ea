package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The systems of a fan-out under TLS. Raw is the floor, which sends as many
// bytes as a record has; oneSeal is crypto/tls writing into memory.
const (
	overTLS         = "gateway with TLS"
	overPlain       = "gateway without TLS"
	rawWrite        = "raw write"
	oneSeal         = "one seal"
	sameSeal        = "one seal, always the same session"
	rawSealed       = "raw write and one seal"
	recordsQuantity = "TLS records per session and round"
)

// openedDevices is how many subscribers open what they receive.
const openedDevices = 4

// runTLSFanout measures what a delivery under TLS costs the server, for each size
// and window: its devices over TLS, the same gateway with plain devices, the
// floor with as many bytes and one seal, in turns.
func runTLSFanout(ctx context.Context, b *secureBed) error {
	b.r.set("subscribers", b.Subscribers)
	b.r.set("payloads, bytes", fmt.Sprint(b.conf.Payloads))
	b.r.set("in flight", fmt.Sprint(b.Windows))
	b.r.set("slice, at least", b.Slice)
	b.r.set("subscribers that open and check what they receive", min(openedDevices, b.Subscribers))
	b.r.set("cipher", "TLS 1.3, AES-128-GCM")
	b.r.set(oneSeal, "crypto/tls Conn.Write into memory, for each of as many sessions in turn")
	floor, err := buildFloor(ctx, b.dir, b.CC)
	if err != nil {
		return err
	}
	seal, err := newSealer(b.Subscribers)
	if err != nil {
		return err
	}
	conditions := len(b.conf.Payloads) * len(b.Windows)
	b.bar.expect(conditions * b.Pairs)
	for _, payload := range b.conf.Payloads {
		for _, window := range b.Windows {
			if err := b.tlsFanout(ctx, floor, seal, payload, window); err != nil {
				return err
			}
		}
	}
	return nil
}

func tlsCondition(payload, window int) string {
	size := fmt.Sprintf("%d B", payload)
	if payload%1024 == 0 {
		size = fmt.Sprintf("%d KiB", payload/1024)
	}
	return fmt.Sprintf("%s, %d in flight", size, window)
}

// tlsFanout measures one condition, on servers of its own: connections that have
// carried other bursts behave differently.
func (b *secureBed) tlsFanout(ctx context.Context, floor string, seal *sealer, payload, window int) error {
	condition := tlsCondition(payload, window)
	b.candidates = []candidate{b.server(overTLS, b.conf.Server), b.server(overPlain, b.conf.Server), b.rawWrite(floor, window)}
	defer func() {
		for _, s := range b.systems {
			s.end()
		}
		b.systems, b.candidates = nil, nil
	}()
	size := window * deliveryLen(payload)
	for _, c := range b.candidates {
		s, err := b.start(ctx, c, c.name)
		if err != nil {
			return err
		}
		l := b.load()
		l.Payload = payload
		switch c.name {
		case overTLS:
			l.TLS = b.secret(s)
			l.TLS.Opened = min(openedDevices, b.Subscribers)
		case rawWrite:
			// As many bytes as the records have that all messages of a round leave in, or a few less.
			l.Payload += recordOverhead * recordsOf(size) / window
		}
		if err := b.connect(ctx, s, l); err != nil {
			return err
		}
	}
	warm := order{Burst: &burstOrder{Window: window, AtLeast: turn}}
	if err := b.inTurns(ctx, func(s *system) error { _, err := s.do(ctx, warm); return err }); err != nil {
		return err
	}
	for range b.Pairs {
		if err := b.tlsPair(ctx, seal, condition, window, size); err != nil {
			return err
		}
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	return b.concludeTLSFanout(payload, window)
}

// rawWrite is the floor as a system: one send for each session and round.
func (b *secureBed) rawWrite(floor string, window int) candidate {
	mode := "single"
	if window > 1 {
		mode = "joined"
	}
	cpu, _ := b.cpus()
	return candidate{rawWrite, "bellwire", false, func(context.Context) (*process, error) {
		return startFloor(floor, mode, cpu, b.FloorOptions...)
	}}
}

// tlsPair adds one sample of each quantity of a condition.
func (b *secureBed) tlsPair(ctx context.Context, seal *sealer, condition string, window, size int) error {
	spent, err := b.pair(ctx, window)
	if err != nil {
		return err
	}
	cpu, _ := b.cpus()
	sealing := min(b.Slice/4, turn)
	each, err := seal.measure(cpu, size, sealing, false)
	if err != nil {
		return err
	}
	same, err := seal.measure(cpu, size, sealing, true)
	if err != nil {
		return err
	}
	quantity := condition + ", " + costQuantity
	costs := map[string]float64{oneSeal: micro(each) / float64(window), sameSeal: micro(same) / float64(window)}
	for s, p := range spent {
		costs[s.name] = p.cost()
	}
	costs[rawSealed] = costs[rawWrite] + costs[oneSeal]
	for _, name := range []string{overTLS, overPlain, rawWrite, oneSeal, sameSeal, rawSealed} {
		b.r.add(name+", "+quantity, "µs", costs[name])
	}
	for _, s := range b.present() {
		if s.name != overTLS {
			continue
		}
		a, err := s.do(ctx, order{Segments: window})
		if err != nil {
			return err
		}
		b.r.add(overTLS+", "+condition+", "+recordsQuantity, "", float64(a.Records)/float64(s.devices))
		b.r.add(overTLS+", "+condition+", "+sendQuantity, "", float64(a.Segments)/float64(s.devices))
	}
	b.bar.step("%s: TLS %s µs, raw write and one seal %s µs", condition, number(costs[overTLS]), number(costs[rawSealed]))
	return nil
}

func (b *secureBed) concludeTLSFanout(payload, window int) error {
	condition := tlsCondition(payload, window)
	quantity := condition + ", " + costQuantity
	cost, records := "", ""
	if b.Pin && b.Subscribers == 1000 && b.Slice >= 100*time.Millisecond {
		key := fmt.Sprintf("%d-%d", payload, window)
		cost = map[string]string{"64-1": "tls-64-1", "64-32": "tls-64-32", "1024-1": "tls-1k-1", "1024-32": "tls-1k-32"}[key]
		records = map[string]string{"64-32": "tls-records", "1024-32": "tls-records-1k"}[key]
	}
	named := func(name, what string) string { return name + ", " + what }
	var err error
	for _, over := range []struct{ name, target string }{{rawSealed, cost}, {overPlain, ""}, {rawWrite, ""}} {
		err = errors.Join(err, b.r.ratio(overTLS+" / "+over.name+", "+quantity, over.target, named(overTLS, quantity), named(over.name, quantity)))
	}
	for _, name := range []string{overTLS, overPlain, rawSealed, rawWrite, oneSeal, sameSeal} {
		err = errors.Join(err, b.r.figure(named(name, quantity), "", named(name, quantity)))
	}
	perSession := named(overTLS, condition+", "+recordsQuantity)
	sends := named(overTLS, condition+", "+sendQuantity)
	return errors.Join(err, b.r.figure(perSession, records, perSession), b.r.figure(sends, "", sends))
}

// deliveryLen is the length of a delivery in the usual form, before TLS; ids of
// topics have a byte or two.
func deliveryLen(payload int) int {
	return len(protocols["bellwire"].publish(nil, destination{id: 1}, slices.Repeat([]byte{0}, payload)))
}
