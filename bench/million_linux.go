package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Million connects very many idle, subscribed devices to as many gateway
// processes as the descriptor limit asks for, from as many generator processes,
// and then broadcasts to all of them: how long until the first, half, 99 % and
// the last device have the message, and what a device costs in CPU time and
// memory. The gateways are not linked to each other: each generator publishes
// once at its own gateway, all at one instant.
//
// A message lost, repeated, altered or out of order fails the run. All processes
// that it starts end with it, also when this process is killed. It reports its
// progress to w.
func Million(ctx context.Context, cfg MillionConfig, w io.Writer) (Result, error) {
	cfg, err := cfg.withDefaults(resources{
		memory: kibibytes(properties("/proc/meminfo")["MemAvailable"]) << 10, descriptors: descriptorLimit(),
		loops: runtime.GOMAXPROCS(0),
	})
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Within, fmt.Errorf("not done within %v", cfg.Within))
	defer cancel()
	// The system kills a child when the thread that started it ends: this one stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := Result{
		Name: "million", Scenario: "million", Date: time.Now().UTC().Truncate(time.Second), Command: cfg.Command,
		Server: commandLine(cfg.Server), Machine: thisMachine(),
	}
	m := &million{MillionConfig: cfg, result: &r, shares: cfg.plan()}
	defer m.stop()
	m.describe()
	bar := newProgress(w, rampSteps+cfg.Broadcasts)
	bar.say("%d devices, %d gateways and as many generators, on one machine; the gateways are not linked, so each publishes itself, at one instant", cfg.Devices, len(m.shares))
	if err := m.run(ctx, bar); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return r, err
	}
	bar.say("measured; the system ends %d connections", 2*cfg.Devices)
	return r, cfg.conclude(&r)
}

// rampSteps is the number of steps that the progress bar makes while devices
// connect.
const rampSteps = 20

// million is a run under way.
type million struct {
	MillionConfig
	result   *Result
	shares   []share
	gateways []*process
	loads    []*loader
}

// account is what all gateways have used and hold.
type account struct {
	cpu time.Duration
	memory
}

func (m *million) describe() {
	m.result.set("devices", m.Devices)
	m.result.set("gateways", len(m.shares))
	m.result.set("generators", len(m.shares))
	m.result.set("devices of each gateway, at most", m.shares[0].devices)
	m.result.set("filters of each device", 1)
	m.result.set("published", "once at every gateway at the same instant: the gateways are not linked to each other")
	m.result.set("broadcasts", m.Broadcasts)
	m.result.set("payload, bytes", m.Payload)
	m.result.set("memory read after the last connection", m.Settle)
}

func (m *million) run(ctx context.Context, bar *progress) error {
	for _, s := range m.shares {
		if err := m.startGateway(ctx, s); err != nil {
			return err
		}
	}
	if err := pause(ctx, min(time.Second, m.Settle)); err != nil { // until their start is over
		return err
	}
	before, err := m.accounts()
	if err != nil {
		return err
	}
	if err := m.ramp(ctx, bar); err != nil {
		return err
	}
	connected, err := m.accounts()
	if err != nil {
		return err
	}
	if err := m.idle(ctx); err != nil {
		return err
	}
	after, err := m.accounts()
	if err != nil {
		return err
	}
	m.costs(before, connected, after)
	if err := m.loadMemory(); err != nil {
		return err
	}
	for range m.Broadcasts {
		if err := m.broadcast(ctx, bar); err != nil {
			return err
		}
	}
	for _, l := range m.loads {
		if err := l.order("end"); err != nil {
			return err
		}
	}
	for _, l := range m.loads {
		if _, err := l.await(ctx, "quiet", nil); err != nil {
			return err
		}
	}
	return nil
}

func (m *million) startGateway(ctx context.Context, s share) error {
	device, admin, err := freeAt(ctx, s.addr)
	if err != nil {
		return err
	}
	args := filled(m.Server, ListenPlaceholder, device.String(), AdminPlaceholder, admin.String())
	p := &process{cmd: command(args), device: device, admin: "http://" + admin.String()}
	if err := p.start(-1); err != nil {
		return err
	}
	m.gateways = append(m.gateways, p)
	return p.ready(ctx)
}

// command is one that ends with this process, however that ends.
func command(args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	// Interrupts of the terminal are this process's own matter: it ends its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

// ramp starts the generators, a few at a time, and waits until all devices are
// subscribed. Now and then it notes how many there are.
func (m *million) ramp(ctx context.Context, bar *progress) error {
	start := time.Now()
	last, reached := time.Time{}, 0
	note := func() {
		m.result.add(clockName+", "+millionRamp, "s", time.Since(start).Seconds())
		m.result.add(millionRamp, "", float64(reached))
		last = time.Now()
	}
	note()
	for reached < m.Devices {
		if err := m.startLoads(); err != nil {
			return err
		}
		if err := m.hear(ctx); err != nil {
			return err
		}
		reached = 0
		for _, l := range m.loads {
			reached += l.subscribed
		}
		if time.Since(last) > 100*time.Millisecond {
			note()
		}
		for bar.done < reached*rampSteps/m.Devices {
			bar.step("%s devices subscribed", thousands(fmt.Sprint(reached)))
		}
	}
	note()
	m.result.add(millionPace, "/s", float64(m.Devices+len(m.shares))/time.Since(start).Seconds())
	return nil
}

// startLoads starts generators until as many connect devices as keep all CPUs
// busy. More would leave each so little of them that handshakes run out of time.
func (m *million) startLoads() error {
	atOnce := 2 * runtime.NumCPU()
	connecting := 0
	for i, l := range m.loads {
		if l.subscribed < m.shares[i].devices {
			connecting++
		}
	}
	for ; connecting < atOnce && len(m.loads) < len(m.shares); connecting++ {
		i := len(m.loads)
		s := m.shares[i]
		l, err := startLoader(append(slices.Clone(m.Load), MillionLoadConfig{
			Connect: m.gateways[i].device, Devices: s.devices, First: s.first, Sources: s.sources, Payload: m.Payload, Topic: m.Topic,
		}.Flags()...))
		if err != nil {
			return err
		}
		m.loads = append(m.loads, l)
	}
	return nil
}

// hear takes what generators report, or waits a moment.
func (m *million) hear(ctx context.Context) error {
	for _, l := range m.loads {
		if err := l.hear(); err != nil {
			return err
		}
	}
	return pause(ctx, 10*time.Millisecond)
}

// idle leaves the devices alone for a time. A gateway or generator that ends
// meanwhile fails the run.
func (m *million) idle(ctx context.Context) error {
	for end := time.Now().Add(m.Settle); time.Now().Before(end); {
		if err := m.hear(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *million) accounts() (account, error) {
	var all account
	for _, p := range m.gateways {
		cpu, err := processCPU(p.pid())
		if err != nil {
			return all, fmt.Errorf("%w: %s", err, p.errors)
		}
		held, err := processMemory(p.pid())
		if err != nil {
			return all, fmt.Errorf("%w: %s", err, p.errors)
		}
		all.cpu += cpu
		all.rss += held.rss
		all.anon += held.anon
		all.slab = held.slab // it is the whole system's
	}
	return all, nil
}

func (m *million) costs(before, connected, after account) {
	n := float64(m.Devices + len(m.shares)) // publishers are devices too
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / n }
	m.result.add(millionConnect, "µs", float64((connected.cpu-before.cpu).Nanoseconds())/1e3/n)
	m.result.add(millionRSS, "B", each(after.rss, before.rss))
	m.result.add(millionAnon, "B", each(after.anon, before.anon))
	m.result.add(millionSlab, "B", each(after.slab, before.slab))
	idle := 0.0
	if m.Settle > 0 {
		idle = (after.cpu - connected.cpu).Seconds() / m.Settle.Seconds() * 1e3
	}
	m.result.add(millionIdle, "ms/s", idle)
}

func (m *million) loadMemory() error {
	total := uint64(0)
	for _, l := range m.loads {
		held, err := processMemory(l.pid())
		if err != nil {
			return fmt.Errorf("%w: %s", err, l.errors)
		}
		total += held.rss
	}
	m.result.add(millionLoad, "B", float64(total)/float64(m.Devices+len(m.shares)))
	return nil
}

// lead is the time from the order to publish to the instant of it: for the order
// to reach every generator.
const lead = 100 * time.Millisecond

func (m *million) broadcast(ctx context.Context, bar *progress) error {
	before, err := m.accounts()
	if err != nil {
		return err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	for _, l := range m.loads {
		if err := l.order("publish %d", now.Nano()+lead.Nanoseconds()); err != nil {
			return err
		}
	}
	var all arrivals
	late := time.Duration(0)
	for _, l := range m.loads {
		text, err := l.await(ctx, "arrivals", &late)
		if err != nil {
			return err
		}
		some, err := parseArrivals(text)
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	if len(all) != m.Devices {
		return fmt.Errorf("%d devices have reported the message, %d are subscribed", len(all), m.Devices)
	}
	after, err := m.accounts()
	if err != nil {
		return err
	}
	slices.Sort(all)
	m.note(all, late, after.cpu-before.cpu)
	bar.step("the last of %s devices after %s ms", thousands(fmt.Sprint(m.Devices)), figureText(milliseconds(all.reached(1))))
	return nil
}

func (m *million) note(all arrivals, late, cpu time.Duration) {
	n := float64(m.Devices)
	m.result.add(millionFirst, "ms", milliseconds(all.reached(0)))
	m.result.add(millionHalf, "ms", milliseconds(all.reached(0.5)))
	m.result.add(millionMost, "ms", milliseconds(all.reached(0.99)))
	m.result.add(millionLast, "ms", milliseconds(all.reached(1)))
	m.result.add(millionLate, "ms", milliseconds(late))
	m.result.add(millionRate, "/s", n/all.reached(1).Seconds())
	m.result.add(millionCost, "µs", float64(cpu.Nanoseconds())/1e3/n)
	for _, p := range []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99} {
		if (1-p/100)*n >= 1 { // else it is the greatest
			m.result.add(fmt.Sprintf("%s p%v", millionArrival, p), "ms", milliseconds(all.reached(p/100)))
		}
	}
	m.result.add(millionArrival+" max", "ms", milliseconds(all.reached(1)))
}

func milliseconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e3 }

// stop kills all at once: the system takes its time to end so many connections.
func (m *million) stop() {
	for _, p := range m.gateways {
		p.cmd.Process.Kill() //nolint:errcheck // it may be gone already
	}
	for _, l := range m.loads {
		l.cmd.Process.Kill() //nolint:errcheck // it may be gone already
	}
	for _, l := range m.loads {
		l.kill()
	}
	for _, p := range m.gateways {
		<-p.ended
	}
}
