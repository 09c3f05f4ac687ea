package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// watch has the signals of the process sent to a channel until stop is called; without a process there are none.
func (e *env) watch(wanted ...os.Signal) (signals <-chan os.Signal, stop func()) {
	if e.notify == nil {
		return nil, func() {}
	}
	// Room for a person's impatience: package signal drops what finds none.
	c := make(chan os.Signal, 8)
	e.notify(c, wanted...)
	return c, func() { signal.Stop(c) }
}

// interruptible is a context that SIGINT and SIGTERM cancel, so that a command can put its things in order. A second
// signal ends the process in the system's way.
func (e *env) interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, stop := e.watch(os.Interrupt, syscall.SIGTERM)
	go func() {
		defer stop()
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
