package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/bellwire/bellwire/gateway"
)

// gcPercent is GOGC of a gateway unless the environment says otherwise. Most of its heap are sessions, which live for
// days, so collecting twice as often as Go's 100 costs little and halves what memory lies idle in between.
const gcPercent = 50

// serveCmd is `bellwire serve`.
type serveCmd struct {
	settingsFlags
}

// Help says what the signals do.
func (c *serveCmd) Help() string {
	return "SIGTERM or an interrupt drains: devices are asked to leave over --drain-spread, then the gateway ends. " +
		"A second one ends it at once. SIGHUP reads the settings file again."
}

// Run serves until a signal ends it.
func (c *serveCmd) Run(e *env, s *effective) error {
	log, level := newLogger(e, s.Log)
	if e.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	g, err := gateway.New(gatewayConfig(s.Settings, log))
	if err != nil {
		return err
	}
	signals, stop := e.watch(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	v := &service{env: e, gateway: g, settings: s, log: log, level: level, drain: s.Drain}
	return v.run(signals)
}

// service is a gateway and what its operator can do to it.
type service struct {
	env      *env
	gateway  *gateway.Gateway
	settings *effective
	log      *slog.Logger
	level    *slog.LevelVar
	drain    DrainSettings // as it started
	leaving  bool
}

// run serves and obeys signals until the gateway has ended.
func (v *service) run(signals <-chan os.Signal) error {
	served := make(chan error, 1)
	go func() { served <- v.gateway.Serve(context.Background()) }()
	ready := v.gateway.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			v.announce()
		case s := <-signals:
			if s == syscall.SIGHUP {
				v.reload()
			} else {
				v.leave()
			}
		case err := <-served:
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%w: something else listens there; stop it, or take another address (port 0 finds a free one)", err)
			}
			if err == nil {
				v.log.Info("stopped")
			}
			return err
		}
	}
}

// announce says where the gateway can be reached; ports may have been found only now.
func (v *service) announce() {
	v.log.Info("serving", "name", v.gateway.Name(), "listen", addressText(v.gateway.Addr()), "admin", addressText(v.gateway.AdminAddr()),
		"broadcast", v.settings.Broadcast, "version", thisBuild().Version)
	v.tell(notifyReady)
}

// addressText is an address, or off for none.
func addressText(a net.Addr) string {
	if a == nil {
		return adminOff
	}
	return a.String()
}

func (v *service) tell(state string) {
	if err := tellManager(v.env.getenv, state); err != nil {
		v.log.Warn("the service manager cannot be told", "error", err)
	}
}

// leave drains, or when asked again closes at once. Serve returns when it is done.
func (v *service) leave() {
	if v.leaving {
		v.log.Info("closing at once")
		go func() { _ = v.gateway.Close() }() // it has no error of its own
		return
	}
	v.leaving = true
	v.log.Info("draining; a second signal closes at once", "spread", v.drain.Spread.String(), "within", v.drain.Within.String())
	v.tell(notifyStopping)
	go func() { _ = v.gateway.Shutdown(context.Background()) }() // its only error is the context's
}

// reload takes over what may change while the gateway runs. If anything is wrong, all stays as it was.
func (v *service) reload() {
	next, err := v.settings.reload()
	if err == nil {
		err = v.gateway.Reload(gatewayLimits(next.Limits))
	}
	if err != nil {
		v.log.Error("the settings were not read again; the old ones stay", "error", err)
		return
	}
	v.level.Set(slog.Level(next.Log.Level))
	live, restart := v.settings.changes(next)
	v.settings = next
	v.log.Info("read the settings again", "changed", strings.Join(live, " "))
	if len(restart) > 0 {
		v.log.Warn("these settings change at a restart", "settings", strings.Join(restart, " "))
	}
}
