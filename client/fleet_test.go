package client_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
)

// fleet is where a dialer finds gateways by address.
type fleet struct {
	mu    sync.Mutex
	at    map[string]*gateway
	dials []string
	fail  error // every dial fails
}

func (f *fleet) dial(_ context.Context, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials = append(f.dials, addr)
	if f.fail != nil {
		return nil, f.fail
	}
	g := f.at[addr]
	if g == nil {
		return nil, errors.New("connection refused")
	}
	return g.accept(), nil
}

func (f *fleet) dialed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.dials)
}

func (f *fleet) gateway(addr string) *gateway {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at[addr]
}

func (f *fleet) put(addr string, g *gateway) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = make(map[string]*gateway)
	}
	f.at[addr] = g
}
