package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/secure"
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
		"A second one ends it at once. SIGHUP reads the settings file again and the files that it names, and so does POST /v1/reload on the admin address."
}

// Run serves until a signal ends it.
func (c *serveCmd) Run(e *env, s *effective) error {
	log, level := newLogger(e, s.Log)
	if e.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	tickets := make([]byte, 32)
	_, _ = rand.Read(tickets) // never fails
	cfg, proof, err := fullConfig(s.Settings, log, tickets)
	if err != nil {
		return err
	}
	audit, file, err := newAudit(s.Audit, log)
	if err != nil {
		return err
	}
	if file != nil {
		defer file.Close()
	}
	v := &service{env: e, settings: s, log: log, level: level, audit: file, tickets: tickets, proof: proof, drain: s.Drain, reloads: make(chan chan<- error), ended: make(chan struct{})}
	cfg.Audit = audit
	v.admins(&cfg)
	if v.central = newCentralService(s.Settings, log); v.central != nil {
		defer v.central.stop()
		cfg.Central, cfg.Directory, cfg.Stored = v.central, v.central, v.central.stored
	}
	if v.gateway, err = gateway.New(cfg); err != nil {
		return err
	}
	if v.central != nil {
		if err := v.central.attach(v.gateway, s.Settings, proof); err != nil {
			return err
		}
		v.last = cfg
		v.central.stored.begin(v)
	}
	if budget := v.gateway.Status().MemoryBudget; budget > 0 && e.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(budget / 100 * softMemory)
	}
	signals, stop := e.watch(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	defer close(v.ended)
	return v.run(signals)
}

// softMemory is the part of the memory budget, in percent, that Go's heap grows to before it is collected more often. It
// is what the gateway sheds queues at: garbage alone should not get there.
const softMemory = 85

// admins says who may use the admin API, and that it can have the settings read again. Where it asks for tokens it speaks
// TLS as well if the gateway has a certificate: a token in the clear is anybody's.
func (v *service) admins(cfg *gateway.Config) {
	cfg.OnReload = v.requestReload
	v.trust.Store(cfg.Trust)
	if v.settings.AdminAuth != adminAuthToken {
		return
	}
	cfg.AdminAuth = func(token string) (tenant, name string, err error) {
		who, err := v.trust.Load().Admin([]byte(token))
		return who.Tenant, who.Name, err
	}
	if cfg.Trust.HasTLS() {
		cfg.AdminTLS = &tls.Config{
			MinVersion: tls.VersionTLS13,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: v.trust.Load().Certificates()}, nil
			},
		}
	}
}

// What admin_auth may be.
const (
	adminAuthOff   = "off"
	adminAuthToken = "token"
)

// service is a gateway and what its operator can do to it.
type service struct {
	env      *env
	gateway  *gateway.Gateway
	central  *centralService // nil: none
	settings *effective
	log      *slog.Logger
	level    *slog.LevelVar
	audit    *auditFile    // nil: refusals are written elsewhere or nowhere
	drain    DrainSettings // as it started
	trust    atomic.Pointer[secure.Trust]
	tickets  []byte        // what makes session tickets where no file says so: a reload keeps them good
	proof    *secure.Fleet // to other gateways; nil: none. Reloads renew it
	leaving  bool
	reloads  chan chan<- error // requests to reload; the answer is sent
	ended    chan struct{}     // closed when nobody listens any more

	ruling sync.Mutex     // held while the gateway's rules are replaced
	last   gateway.Config // of the settings, as it was read last
	fleet  *fleetPolicy   // takes the place of the policy in last; nil: there is none
}

// run serves and obeys signals until the gateway has ended.
func (v *service) run(signals <-chan os.Signal) error {
	var lost <-chan error
	if v.central != nil {
		lost = v.central.failed
		v.central.start()
	}
	served := make(chan error, 1)
	go func() { served <- v.gateway.Serve(context.Background()) }()
	ready := v.gateway.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			if v.central != nil {
				v.central.announce()
			}
			v.announce()
		case s := <-signals:
			if s == syscall.SIGHUP {
				_ = v.reload() // it has logged what is wrong
			} else {
				v.leave()
			}
		case answer := <-v.reloads:
			answer <- v.reload()
		case err := <-lost:
			_ = v.gateway.Close() // it has no error of its own
			<-served
			return err
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
	v.log.Info("serving", "name", v.gateway.Name(), "listen", addressText(v.gateway.Addr()), "admin", addressText(v.gateway.AdminAddr()), "listen_tls", addressText(v.gateway.TLSAddr()), "peer_listen", addressText(v.gateway.PeerAddr()),
		"broadcast", v.gateway.Status().Broadcast, "version", thisBuild().Version)
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
	if v.central != nil {
		v.central.unlist() // at once, so that nobody is sent here any more
	}
	go func() { _ = v.gateway.Shutdown(context.Background()) }() // its only error is the context's
}

func (v *service) reloadGateway(s Settings) error {
	cfg, proof, err := fullConfig(s, v.log, v.tickets)
	if err != nil {
		return err
	}
	renews := v.proof != nil && proof != nil // else that changes at a restart
	if renews {
		if err := v.proof.Check(proof); err != nil {
			return fmt.Errorf("config: %w", inFile("fleet.cert", s.Fleet.Cert, err))
		}
	}
	v.ruling.Lock()
	defer v.ruling.Unlock()
	if err := v.gateway.Reload(v.fleet.over(cfg)); err != nil {
		return err
	}
	if renews {
		v.renew(proof)
	}
	v.last = cfg
	v.trust.Store(cfg.Trust)
	return nil
}

// renew has the gateway prove itself to others with what was read now.
func (v *service) renew(next *secure.Fleet) {
	less := !next.Believes(v.proof)
	if now := next.Certificate(); !now.Equal(v.proof.Certificate()) {
		v.log.Info("shows other gateways a new certificate", "serial", now.SerialNumber.Text(16), "until", now.NotAfter)
	}
	v.proof.Renew(next)
	if less {
		v.recheck()
	}
}

// recheck has the other gateways prove themselves again, as not all that were believed are any more.
func (v *service) recheck() {
	v.gateway.RecheckLinks()
	if v.central == nil {
		return
	}
	if err := v.central.Recheck(); err != nil {
		v.log.Warn("who is connected to the central service stays, believed or not", "error", err)
	}
}

// requestReload is reload for other goroutines.
func (v *service) requestReload() error {
	answer := make(chan error, 1)
	select {
	case v.reloads <- answer:
		return <-answer
	case <-v.ended:
		return errors.New("the gateway has ended")
	}
}

// reload takes over what may change while the gateway runs. If anything is wrong, all stays as it was, and the error says
// what; it is logged as well. The audit file is opened anew in any case: it may have been moved away.
func (v *service) reload() error {
	if v.audit != nil {
		if err := v.audit.reopen(); err != nil {
			v.log.Error("the audit file cannot be opened anew; the old one stays", "error", err)
		}
	}
	next, err := v.settings.reload()
	if err == nil {
		err = v.reloadGateway(next.Settings)
	}
	if err != nil {
		v.log.Error("the settings were not read again; the old ones stay", "error", err)
		return err
	}
	v.level.Set(slog.Level(next.Log.Level))
	live, restart := v.settings.changes(next, v.proof != nil)
	v.settings = next
	v.log.Info("read the settings again, and the files that they name", "changed", strings.Join(live, " "))
	if len(restart) > 0 {
		v.log.Warn("these settings change at a restart", "settings", strings.Join(restart, " "))
	}
	return nil
}
