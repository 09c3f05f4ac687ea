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
	Server []string      `placeholder:"ADDR" default:"127.0.0.1:7311" help:"Gateway, host:port; repeat it for others to try when one is away."`
	Device string        `placeholder:"NAME" help:"Name of this device; two with the same name push each other out. Default: the gateway draws one."`
	GiveUp time.Duration `placeholder:"TIME" help:"End with exit code 3 when a lost connection is not back after this time; 0: never."`
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
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watcher{out: e.stderr, giveUp: f.GiveUp, end: cancel}
	options := []client.Option{client.WithServers(f.Server[1:]...), client.WithOnState(w.state)}
	if f.Device != "" {
		options = append(options, client.WithDevice(f.Device))
	}
	c, err := client.Dial(ctx, f.Server[0], options...)
	if err != nil {
		defer cancel(nil)
		return nil, dialError(ctx, err)
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

// watcher tells a person about losses, and ends the command when one lasts too long.
type watcher struct {
	out    io.Writer
	giveUp time.Duration // 0: never
	end    context.CancelCauseFunc

	mu      sync.Mutex
	served  bool // some gateway has been reached
	lost    bool // and lost, which was told
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
		if w.lost {
			w.lost = false
			fmt.Fprintf(w.out, "bellwire: connected to %s\n", s.Server)
		}
	case client.Reconnecting:
		if !w.served || w.lost {
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

// stop: from now on a loss is meant.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = true
	if w.patient != nil {
		w.patient.Stop()
	}
}
