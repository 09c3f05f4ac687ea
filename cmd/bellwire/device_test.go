package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// watching is a watcher with everything around it in memory.
func watching(giveUp time.Duration) (w *watcher, ctx context.Context, out *bytes.Buffer) {
	out = &bytes.Buffer{}
	ctx, end := context.WithCancelCause(context.Background())
	return &watcher{out: out, giveUp: giveUp, end: end}, ctx, out
}

var errCut = errors.New("cut")

func TestLossesAreToldOnce(t *testing.T) {
	w, ctx, out := watching(0)
	w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut})
	require.Empty(t, out.String(), "a gateway that was never reached is an error of dialling")
	w.state(client.State{Phase: client.Connected, Server: "a:1"})
	require.Empty(t, out.String(), "the first connection is no news")
	for range 3 {
		w.state(client.State{Phase: client.Reconnecting, Server: "b:1", Err: errCut})
	}
	w.state(client.State{Phase: client.Connected, Server: "b:1"})
	require.Equal(t, "bellwire: cut; trying b:1\nbellwire: connected to b:1\n", out.String())
	require.NoError(t, ctx.Err())
	w.stop()
	w.state(client.State{Phase: client.Reconnecting, Server: "b:1", Err: errCut})
	require.Equal(t, "bellwire: cut; trying b:1\nbellwire: connected to b:1\n", out.String(), "this loss is meant")
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx, _ := watching(30 * time.Second)
		w.state(client.State{Phase: client.Connected, Server: "a:1"})
		w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut})
		time.Sleep(29 * time.Second)
		w.state(client.State{Phase: client.Connected, Server: "a:1"})
		time.Sleep(time.Minute)
		require.NoError(t, ctx.Err(), "it came back in time")

		w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut})
		time.Sleep(20 * time.Second)
		w.state(client.State{Phase: client.Reconnecting, Server: "a:1", Err: errCut})
		time.Sleep(9 * time.Second)
		require.NoError(t, ctx.Err())
		time.Sleep(2 * time.Second)
		require.Error(t, ctx.Err(), "the time counts from the loss, not from the last try")
		err := context.Cause(ctx)
		require.Equal(t, exitLost, codeOf(err))
		require.ErrorIs(t, err, errCut)
		require.ErrorContains(t, err, "30s")
	})
}

func TestLeavingEndsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx, _ := watching(time.Second)
		w.state(client.State{Phase: client.Connected})
		w.state(client.State{Phase: client.Reconnecting, Err: errCut})
		w.stop()
		time.Sleep(time.Minute)
		require.NoError(t, ctx.Err())
	})
}

func TestBeingSentAway(t *testing.T) {
	stopped := &client.StoppedError{Code: wire.CodeReplaced}
	w, ctx, _ := watching(0)
	w.state(client.State{Phase: client.Connected})
	w.state(client.State{Phase: client.Closed, Err: client.ErrClosed})
	require.NoError(t, ctx.Err(), "closed by this side")
	w.state(client.State{Phase: client.Closed, Err: stopped})
	require.ErrorIs(t, context.Cause(ctx), stopped)
	require.Equal(t, exitFailed, codeOf(context.Cause(ctx)))
}

func TestReasons(t *testing.T) {
	refused := &client.RefusedError{Code: wire.CodeNoCentral, What: "publishing"}
	gaveUp := exitWith(exitLost, errCut)
	for _, test := range []struct {
		name  string
		cause error // of the device's end; nil: it lives
		err   error
		want  error
		code  exitCode
	}{
		{"nothing", nil, nil, nil, exitDone},
		{"refused", nil, refused, refused, exitFailed},
		{"fate unknown", nil, client.ErrUnknownOutcome, client.ErrUnknownOutcome, exitLost},
		{"interrupted", context.Canceled, context.Canceled, context.Canceled, exitInterrupted},
		{"interrupted with a message under way", context.Canceled, client.ErrUnknownOutcome, context.Canceled, exitInterrupted},
		{"gave up", gaveUp, context.Canceled, errCut, exitLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			if test.cause != nil {
				cancel(test.cause)
			}
			defer cancel(nil)
			err := (&device{ctx: ctx}).reason(test.err)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, test.code, codeOf(err))
		})
	}
}

func TestDialErrors(t *testing.T) {
	err := dialError(context.Background(), fmt.Errorf("dial: %w", syscall.ECONNREFUSED))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.ErrorContains(t, err, "bellwire serve")
	require.Equal(t, errCut, dialError(context.Background(), errCut))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.Equal(t, exitInterrupted, codeOf(dialError(ctx, errCut)))
}
