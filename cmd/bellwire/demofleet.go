package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// demoFleet is a demo with several gateways, of which some are killed.
type demoFleet struct {
	*demoShow
	gateways []*demoGateway
	watching sync.WaitGroup // for those who look after the devices of a killed gateway
}

// runFleet shows a fleet.
func (c *demoCmd) runFleet(ctx context.Context, e *env) error {
	gateways, err := newDemoGateways(e.program, c.Gateways, c.Devices+c.Gateways+demoReserve)
	if err != nil {
		return err
	}
	f := &demoFleet{gateways: gateways}
	defer f.end()
	servers := make([]string, len(gateways))
	for i, g := range gateways {
		if err := g.start(ctx); err != nil {
			return err
		}
		servers[i] = g.listen
	}
	f.demoShow = newDemoShow(e, servers, c.Devices)
	for _, g := range gateways {
		if err := g.linked(ctx, len(gateways)-1); err != nil {
			return err
		}
		if err := f.publisher.enter(ctx, g.name, g.listen); err != nil {
			return err
		}
		holds := ""
		if g.holds {
			holds = ", and holds the fleet's central service"
		}
		fmt.Fprintf(e.stdout, "%s: process %d, devices on %s, other gateways on %s%s\n", g.name, g.process.command.Process.Pid, g.listen, g.peer, holds)
	}
	fmt.Fprintf(e.stdout, "%s devices over TCP, a broadcast every %s for %s, each at another gateway\n\n",
		grouped(int64(c.Devices)), durationText(c.Interval), durationText(c.Duration))
	if err := f.run(ctx, c, func(ctx context.Context) error { return f.events(ctx, c.Duration) }); err != nil {
		return err
	}
	return f.finish(ctx)
}

// events are what happens while broadcasts are sent: the last gateway, which does not hold the central service, is killed
// and started again, and then the first one goes, which does.
func (f *demoFleet) events(ctx context.Context, during time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer f.watching.Wait()
	defer cancel(nil)
	began := time.Now()
	last, first := f.gateways[len(f.gateways)-1], f.gateways[0]
	for _, event := range []struct {
		at time.Duration
		do func(context.Context) error
	}{
		{during / 4, func(ctx context.Context) error { return f.lose(ctx, last) }},
		{during / 2, func(ctx context.Context) error { return f.restart(ctx, last) }},
		{during * 3 / 4, func(ctx context.Context) error { return f.lose(ctx, first) }},
		{during, func(context.Context) error { return nil }},
	} {
		if err := f.unharmed(ctx, event.at-time.Since(began)); err != nil {
			return err
		}
		if err := event.do(ctx); err != nil {
			return err
		}
	}
	f.watching.Wait()
	return context.Cause(ctx)
}

// unharmed waits, unless a gateway ends that nobody has killed.
func (f *demoFleet) unharmed(ctx context.Context, wait time.Duration) error {
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	alive := f.running()
	for {
		select {
		case <-over.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
		for _, g := range alive {
			if !g.running() {
				return fmt.Errorf("%s has ended, and nobody has killed it: %s", g.name, g.process.said.text())
			}
		}
	}
}

func (f *demoFleet) running() []*demoGateway {
	return slices.DeleteFunc(slices.Clone(f.gateways), func(g *demoGateway) bool { return !g.running() })
}

// lose kills a gateway, and has its devices looked after until each is served elsewhere and has all that was published.
func (f *demoFleet) lose(ctx context.Context, g *demoGateway) error {
	some, losses := f.devices.at(g.listen)
	holds := ""
	if g.holds {
		holds = ", which holds the central service"
	}
	closeAll := f.publisher.leave(g.listen)
	g.kill()
	killed := time.Now()
	closeAll()
	f.table.note(fmt.Sprintf("kill -9 %s%s: %s devices lose their gateway", g.name, holds, grouped(int64(len(some)))))
	f.watching.Go(func() { f.lookAfter(ctx, g, some, losses, killed) })
	return nil
}

// lookAfter says when the devices of a killed gateway are back and have everything, or that they are not.
func (f *demoFleet) lookAfter(ctx context.Context, g *demoGateway, some []*demoDevice, losses []int, killed time.Time) {
	resumed := f.devices.resumed.Load()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	over := time.After(demoPatience)
	for {
		back := f.devices.back(some, losses)
		count := 0
		for _, n := range back {
			count += n
		}
		account := f.devices.account(some)
		if count == len(some) && account.missing == 0 {
			lost := ""
			if n := account.gaps + account.ended + account.vague; n > 0 {
				lost = fmt.Sprintf("; they were told that %s are lost", grouped(n))
			}
			f.table.note(fmt.Sprintf("all %s devices of %s are served elsewhere and account for every broadcast after %s: %s; %s messages were resumed%s",
				grouped(int64(count)), g.name, latencyText(time.Since(killed)), f.whereText(back), grouped(f.devices.resumed.Load()-resumed), lost))
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		case <-over:
			f.table.note(fmt.Sprintf("after %s %s of %s devices of %s are served elsewhere, and %s deliveries to them are missing",
				durationText(demoPatience), grouped(int64(count)), grouped(int64(len(some))), g.name, grouped(account.missing)))
			return
		}
	}
}

// whereText says how many devices are at which gateway.
func (f *demoFleet) whereText(at map[string]int) string {
	var parts []string
	for _, g := range f.gateways {
		if n := at[g.listen]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s at %s", grouped(int64(n)), g.name))
		}
	}
	return strings.Join(parts, ", ")
}

// restart starts a killed gateway again, as a new life under its old name and addresses.
func (f *demoFleet) restart(ctx context.Context, g *demoGateway) error {
	if err := g.start(ctx); err != nil {
		return err
	}
	if err := g.linked(ctx, len(f.running())-1); err != nil {
		return err
	}
	if err := f.publisher.enter(ctx, g.name, g.listen); err != nil {
		return err
	}
	f.table.note(g.name + " is started again, and linked")
	return nil
}

// finish shows the fleet as a gateway sees it that is left, and adds up.
func (f *demoFleet) finish(ctx context.Context) error {
	left := f.running()
	if len(left) == 0 {
		return errNoEntry
	}
	view, err := left[0].view(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", left[0].name, err)
	}
	fmt.Fprintln(f.env.stdout)
	if err := writeFleet(f.env.stdout, view, time.Now()); err != nil {
		return err
	}
	return f.devices.summarize(f.env.stdout, true)
}

// end leaves nothing behind.
func (f *demoFleet) end() {
	if f.demoShow != nil {
		f.close()
	}
	for _, g := range f.gateways {
		g.kill()
	}
}
