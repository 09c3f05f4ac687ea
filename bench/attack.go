package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	baselinePhase = "before"
	attackPhase   = "under attack"

	attackGone     = "good devices that lost their connection"
	attackLost     = "messages lost"
	attackOpen     = "attackers connected, least of all seconds"
	attackDialled  = "attackers' connections"
	attackHeld     = "descriptors of the gateway, least of all readings"
	attackRSS      = "user memory (RSS) per attacker"
	attackRSSMost  = "user memory (RSS), most of it"
	attackJoin     = "time for a new device to be in, longest"
	attackCost     = "CPU of the gateway"
	attackOver     = "under attack over before"
	newcomersEvery = 500 * time.Millisecond
)

// runAttack lets good devices exchange messages, first undisturbed and then while
// very many connections stand half open, which come again as soon as the server
// ends them. Each run has a server of its own. A run in which fewer attackers
// than wanted were connected in any second gives no figure.
func runAttack(ctx context.Context, b *secureBed) error {
	secret := 0
	if b.conf.OverTLS > 0 {
		secret = int(b.conf.OverTLS * float64(b.Subscribers))
	}
	b.r.set("good devices", b.Subscribers)
	b.r.set("of them over TLS", secret)
	b.r.set("messages per second of each, and back", b.Rate)
	b.r.set("payload, bytes", b.Payload)
	b.r.set("before the attack", b.conf.Baseline)
	b.r.set("attack", b.Slice)
	b.r.set("attackers at once, at least", b.conf.Attackers)
	b.r.set("addresses of attackers", b.conf.Sources)
	b.r.set("what attackers do, in equal parts", assaultKinds)
	b.r.set("priority of the attackers on this machine", "lowest")
	b.r.set("new good devices per second, over TLS and plain in turns", 1/newcomersEvery.Seconds())
	c := b.server(gatewayName, b.conf.Server)
	b.candidates = []candidate{c}
	err := b.each(ctx, func(ctx context.Context, s *system) (string, error) { return b.attack(ctx, s, secret) })
	if err != nil {
		return err
	}
	return b.concludeAttack()
}

// attack takes one sample of each quantity.
func (b *secureBed) attack(ctx context.Context, s *system, secret int) (string, error) {
	plain := *b.secret(s)
	plain.Remote = s.device
	if _, err := s.do(ctx, order{Good: &goodOrder{
		Plain: plain, TLS: *b.secret(s), Devices: b.Subscribers, OverTLS: secret, Topic: b.Topic, Payload: b.Payload,
	}}); err != nil {
		return "", err
	}
	before, err := b.exchange(ctx, s, baselinePhase, b.conf.Baseline)
	if err != nil {
		return "", err
	}
	memory, err := processMemory(s.pid())
	if err != nil {
		return "", err
	}
	var attackers generator = &hand{}
	if len(b.Generator) > 0 {
		_, cpu := b.cpus()
		if attackers, err = startGenerator(b.Generator, cpu); err != nil {
			return "", fmt.Errorf("attackers: %w", err)
		}
	}
	defer attackers.close()
	// The gateway closes all that are due in the same moment of each second: a quarter
	// more are kept open, so that those that are left are enough.
	if _, err := attackers.do(ctx, order{Assault: &assaultOrder{
		Plain: s.device, TLS: s.secure, Open: b.conf.Attackers + b.conf.Attackers/4, Sources: b.conf.Sources,
	}}); err != nil {
		return "", fmt.Errorf("attackers: %w", err)
	}
	under, err := b.assaulted(ctx, s, attackers, memory)
	if err != nil {
		return "", err
	}
	for _, p := range []float64{50, 90, 99} {
		i := slices.Index(latencyPercentiles, p)
		b.add(s, latencyQuantity(p)+", "+attackOver, "×", float64(under.Latency[i])/float64(before.Latency[i]))
	}
	i := slices.Index(latencyPercentiles, 90)
	return fmt.Sprintf("latency p90 %s ms, %s ms before; %d lost, %d gone", number(milli(under.Latency[i])), number(milli(before.Latency[i])), under.Lost, under.Gone), nil
}

// exchange lets the good devices exchange messages for one phase.
func (b *secureBed) exchange(ctx context.Context, s *system, phase string, length time.Duration) (a outcome, err error) {
	cpu, err := processCPU(s.pid())
	if err != nil {
		return a, err
	}
	begin := time.Now()
	a, err = s.do(ctx, order{Exchange: &exchangeOrder{Every: time.Duration(float64(time.Second) / b.Rate), For: length, Newcomers: newcomersEvery}})
	if err != nil {
		return a, err
	}
	after, err := processCPU(s.pid())
	if err != nil {
		return a, err
	}
	for i, p := range latencyPercentiles {
		b.add(s, phase+", "+latencyQuantity(p), "ms", milli(a.Latency[i]))
	}
	b.add(s, phase+", "+attackCost, "ms/s", milli(after-cpu)/time.Since(begin).Seconds())
	b.add(s, phase+", "+attackGone, "", float64(a.Gone))
	b.add(s, phase+", "+attackLost, "", float64(a.Lost))
	if len(a.Joined) > 0 {
		b.add(s, phase+", "+attackJoin, "s", slices.Max(a.Joined).Seconds())
	}
	if a.Gone > 0 {
		b.bar.say("%s: %d good devices lost their connection: %s", phase, a.Gone, a.Why)
	}
	return a, nil
}

// assaulted is the phase of the attack: the good devices exchange messages, the
// attackers count themselves, and the server's memory and descriptors are read.
func (b *secureBed) assaulted(ctx context.Context, s *system, attackers generator, before memory) (a outcome, err error) {
	type watched struct {
		outcome
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching := make(chan watched, 1)
	go func() {
		o, err := attackers.do(ctx, order{Watch: b.Slice})
		watching <- watched{o, err}
	}()
	type held struct {
		most  uint64
		least int
		err   error
	}
	reading := make(chan held, 1)
	finished, finish := context.WithCancel(ctx)
	defer finish()
	go func() {
		h := held{}
		for step := min(5*time.Second, b.Slice/2); h.err == nil; {
			if pause(finished, step) != nil {
				break
			}
			m, err := processMemory(s.pid())
			open, failed := processDescriptors(s.pid())
			h.most, h.least, h.err = max(h.most, m.rss), min(cmp.Or(h.least, open), open), errors.Join(err, failed)
		}
		reading <- h
	}()
	a, err = b.exchange(ctx, s, attackPhase, b.Slice)
	finish()
	if err != nil {
		cancel()
	}
	h, w := <-reading, <-watching
	if err := errors.Join(err, h.err, w.err); err != nil {
		return a, err
	}
	if len(w.Open) == 0 || slices.Min(w.Open) < b.conf.Attackers {
		return a, fmt.Errorf("only %d attackers were connected in one of the %d seconds, %d must be: the run is void", leastOf(w.Open), len(w.Open), b.conf.Attackers)
	}
	b.add(s, attackOpen, "", float64(slices.Min(w.Open)))
	b.add(s, attackDialled, "/s", float64(w.Dialled)/b.Slice.Seconds())
	b.add(s, attackHeld, "", float64(h.least))
	b.add(s, attackRSS, "B", (float64(h.most)-float64(before.rss))/float64(slices.Max(w.Open)))
	b.add(s, attackRSSMost, "MiB", float64(h.most)/(1<<20))
	return a, nil
}

func sum(v []float64) float64 { return mean(v) * float64(len(v)) }

func leastOf(v []int) int {
	if len(v) == 0 {
		return 0
	}
	return slices.Min(v)
}

func (b *secureBed) concludeAttack() error {
	name := func(quantity string) string { return gatewayName + ", " + quantity }
	// The median of the runs would hide the one in which a message was lost. Of the
	// 99 % the best run counts: the machine's own stalls are in it too.
	together := func(quantity, unit, how string, pick func([]float64) float64) (string, error) {
		s, err := b.r.series(name(quantity))
		if err != nil {
			return "", err
		}
		b.r.add(name(quantity+", "+how), unit, pick(s.Samples))
		return name(quantity + ", " + how), nil
	}
	gone, err1 := together(attackPhase+", "+attackGone, "", "in all runs", sum)
	lost, err2 := together(attackPhase+", "+attackLost, "", "in all runs", sum)
	join, err3 := together(attackPhase+", "+attackJoin, "s", "of all runs", slices.Max[[]float64])
	open, err4 := together(attackOpen, "", "and runs", slices.Min[[]float64])
	best, err5 := together(latencyQuantity(99)+", "+attackOver, "×", "best run", slices.Min[[]float64])
	if err := errors.Join(err1, err2, err4, err5); err != nil {
		return err
	}
	targets := map[string]string{}
	if b.Pin && b.Subscribers == 1000 && b.Rate == 1 && b.conf.Attackers >= 10_000 && b.conf.Sources == 200 && b.Slice >= time.Minute && b.Pairs >= 3 {
		targets = map[string]string{
			gone: "attack-gone", lost: "attack-lost", name(latencyQuantity(90) + ", " + attackOver): "attack-p90", best: "attack-p99",
			join: "attack-join", open: "attack-open", name(attackRSS): "attack-rss",
		}
	}
	figures := []string{gone, lost, open}
	if err3 == nil { // a short run has no newcomers
		figures = append(figures, join)
	}
	for _, p := range []float64{50, 90, 99} {
		figures = append(figures, name(latencyQuantity(p)+", "+attackOver))
	}
	figures = append(figures, best)
	for _, phase := range []string{baselinePhase, attackPhase} {
		for _, p := range latencyPercentiles {
			figures = append(figures, name(phase+", "+latencyQuantity(p)))
		}
	}
	for _, q := range []string{attackGone, attackLost, attackJoin, attackCost} {
		figures = append(figures, name(baselinePhase+", "+q), name(attackPhase+", "+q))
	}
	for _, q := range []string{attackOpen, attackDialled, attackHeld, attackRSS, attackRSSMost} {
		figures = append(figures, name(q))
	}
	var err error
	for _, f := range figures {
		if _, missing := b.r.series(f); missing == nil {
			err = errors.Join(err, b.r.figure(f, targets[f], f))
		}
	}
	return err
}
