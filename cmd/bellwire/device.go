package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/bellwire/bellwire/client"
)

// deviceFlags are those of every command that connects as a device.
type deviceFlags struct {
	Server []string      `placeholder:"ADDR" help:"Gateway, host:port; repeat it for others to try when one is away. Default: 127.0.0.1:7311, with TLS 127.0.0.1:7315."`
	Device string        `placeholder:"NAME" help:"Name of this device; two with the same name push each other out. Default: the gateway draws one."`
	GiveUp time.Duration `placeholder:"TIME" help:"End with exit code 3 when a lost connection is not back after this time; 0: never."`

	tlsFlags   `embed:"" group:"Secure sessions:"`
	tokenFlags `embed:"" group:"Secure sessions:"`
}

// The ports that a gateway of this machine has unless it was told others.
const (
	plainServer = "127.0.0.1:7311"
	tlsServer   = "127.0.0.1:7315"
)

// servers are the addresses to try.
func (f *deviceFlags) servers() []string {
	switch {
	case len(f.Server) > 0:
		return f.Server
	case f.wanted():
		return []string{tlsServer}
	}
	return []string{plainServer}
}

// options are what the flags make of the client; stderr is told what a person should know about them.
func (f *deviceFlags) options(stderr io.Writer) ([]client.Option, error) {
	if f.Device != "" && f.tokenFlags.given() {
		return nil, exitWith(exitUsage, errors.New("--device: the token names the device, and proves it: leave --device out, or the token"))
	}
	config, err := f.config()
	if err != nil {
		return nil, err
	}
	options, err := f.tokenFlags.options()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, client.WithTLS(config))
	} else if f.tokenFlags.given() {
		for _, server := range f.servers() {
			if loopback, err := addressIsLoopback(server); err == nil && !loopback {
				fmt.Fprintf(stderr, "bellwire: the token goes to %s in the clear, for everybody on the way to read and use: --tls protects it\n", server)
			}
		}
	}
	if f.Device != "" {
		options = append(options, client.WithDevice(f.Device))
	}
	return append(options, client.WithServers(f.servers()[1:]...)), nil
}

// device is a connection to a gateway that outlives losses.
type device struct {
	*client.Client
	ctx    context.Context // ends with an interrupt, when the gateway sends the device away, or when it gives up
	cancel context.CancelCauseFunc
	watch  *watcher
}

// connect dials and waits for the gateway's welcome. While ctx lives, losses are told to e.stderr.
func (f *deviceFlags) connect(ctx context.Context, e *env) (*device, error) {
	options, err := f.options(e.stderr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watcher{out: e.stderr, giveUp: f.GiveUp, end: cancel}
	c, err := client.Dial(ctx, f.servers()[0], append(options, client.WithOnState(w.state))...)
	if err != nil {
		defer cancel(nil)
		return nil, dialError(ctx, f.explain(err))
	}
	return &device{Client: c, ctx: ctx, cancel: cancel, watch: w}, nil
}

func dialError(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: is a gateway running there? `bellwire serve` starts one, --server names another", err)
	}
	return err
}

// leave takes leave of the gateway; it waits for a second at most.
func (d *device) leave() {
	d.watch.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = d.Shutdown(ctx) // the goodbye is a courtesy
	d.cancel(nil)
}

// reason is why something on this device failed: what ended its context if that came first, else err itself. A message
// whose fate nobody knows is a lost connection.
func (d *device) reason(err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(d.ctx); cause != nil {
		return cause
	}
	if errors.Is(err, client.ErrUnknownOutcome) {
		return exitWith(exitLost, err)
	}
	return err
}

// longWait is the wait from which a person wonders.
const longWait = 2 * time.Second

// watcher tells a person about losses, and ends the command when one lasts too long.
type watcher struct {
	out    io.Writer
	giveUp time.Duration // 0: never
	end    context.CancelCauseFunc

	mu      sync.Mutex
	served  bool // some gateway has been reached
	lost    bool // and lost, which was told
	waits   bool // for a gateway that said when to come the first time, which was told
	doubts  bool // of a gateway's certificate, since the loss, which was told
	quiet   bool
	patient *time.Timer
}

// state is told each change of the connection.
func (w *watcher) state(s client.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet {
		return
	}
	switch s.Phase {
	case client.Connected:
		w.served = true
		if w.patient != nil {
			w.patient.Stop()
		}
		w.doubts = false
		if w.lost {
			w.lost = false
			fmt.Fprintf(w.out, "bellwire: connected to %s\n", s.Server)
		}
	case client.Reconnecting:
		if !w.served {
			w.waiting(s)
			return
		}
		if w.lost {
			if errors.Is(s.Err, client.ErrUntrusted) && !w.doubts {
				w.doubts = true
				fmt.Fprintf(w.out, "bellwire: %s; trying again\n", inWords(s.Err))
			}
			return
		}
		w.lost = true
		fmt.Fprintf(w.out, "bellwire: %s; trying %s\n", inWords(s.Err), s.Server)
		if w.giveUp > 0 {
			w.patient = time.AfterFunc(w.giveUp, func() {
				w.end(exitWith(exitLost, fmt.Errorf("gave up: no connection for %s; the last error was: %w", durationText(w.giveUp), s.Err)))
			})
		}
	case client.Closed:
		if w.served && !errors.Is(s.Err, client.ErrClosed) {
			w.end(s.Err)
		}
	}
}

// waiting tells a person once why nothing happens before the first connection.
func (w *watcher) waiting(s client.State) {
	if w.waits || s.Wait < longWait {
		return
	}
	w.waits = true
	fmt.Fprintf(w.out, "bellwire: %s; trying %s in %s\n", inWords(s.Err), s.Server, durationText(s.Wait.Round(time.Millisecond)))
}

// stop: from now on a loss is meant.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = true
	if w.patient != nil {
		w.patient.Stop()
	}
}
