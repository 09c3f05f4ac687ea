package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/central"
)

const (
	// changeWithin is how long all gateways together may take for one step.
	changeWithin = 8 * time.Second
	// changeSettles is how long what was sent in the old way may be under way when all send in the new one.
	changeSettles = time.Second
	changePolls   = 20 * time.Millisecond
)

// changeRecords is what a change needs of central.Store.
type changeRecords interface {
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// filterChange changes the fleet's broadcast filters in steps, each of which all gateways have said that they have done
// before the next one: from then on all take what others send before and after it.
//
//	A  filters old, also new
//	B  filters new, also old
//	C  filters new
//
// A step that some gateway does not do is taken back. From B the way back leads over A; if not all gateways can be brought
// there it ends there, where everything is still taken both ways.
type filterChange struct {
	records changeRecords
	listed  func() []central.Gateway
	linked  func() []string // names
	filters func() uint64   // hash of those that this gateway has in force
	self    string
	own     []string // what holds while nothing is stored

	revision uint64 // of the record as it stands; 0: there is none
}

func (c *filterChange) run(ctx context.Context, target []string) error {
	now := broadcastRecord{Filters: c.own}
	value, revision, err := c.records.Get(ctx, broadcastKey)
	switch {
	case errors.Is(err, central.ErrNotFound):
	case err != nil:
		return err
	default:
		if now, err = readBroadcast(value); err != nil {
			return fmt.Errorf("the filters that are stored make no sense: %w", err)
		}
		c.revision = revision
	}
	if err := c.alone(); err != nil {
		return err
	}
	old := now.Filters
	if now.Also != nil { // of a change that somebody began
		if err := c.wait(ctx); err != nil {
			return fmt.Errorf("%w: a change that was begun before has not come to rest: %w", gateway.ErrNotStored, err)
		}
	}
	if !equalFilters(old, target) {
		if err := c.steps(ctx, old, target); err != nil {
			return err
		}
	}
	if err := c.write(ctx, broadcastRecord{Filters: target}); err != nil {
		return fmt.Errorf("all gateways broadcast by the new filters and take what comes by the old ones as well; say it again: %w", err)
	}
	if err := c.wait(ctx); err != nil {
		return fmt.Errorf("the filters are stored, but: %w", err)
	}
	return nil
}

// steps are A and B.
func (c *filterChange) steps(ctx context.Context, old, target []string) error {
	a := broadcastRecord{Filters: old, Also: target}
	if err := c.step(ctx, a); err != nil {
		// Nobody broadcasts by the new ones.
		return c.back(ctx, old, err)
	}
	if err := c.step(ctx, broadcastRecord{Filters: target, Also: old}); err != nil {
		if again := c.step(ctx, a); again != nil {
			return fmt.Errorf("%w: %w; all gateways that hear of it broadcast by the old filters and take both: say the old ones again when the others are back, or gone from the list (%w)",
				gateway.ErrNotStored, err, again)
		}
		return c.back(ctx, old, err)
	}
	return pause(ctx, changeSettles)
}

// back ends a change that was taken back, because of why.
func (c *filterChange) back(ctx context.Context, old []string, why error) error {
	if err := c.write(ctx, broadcastRecord{Filters: old}); err != nil {
		return fmt.Errorf("%w: %w; and it could not be taken back: %w", gateway.ErrNotStored, why, err)
	}
	return fmt.Errorf("%w, all is as it was: %w", gateway.ErrNotStored, why)
}

// step has all gateways do one step.
func (c *filterChange) step(ctx context.Context, b broadcastRecord) error {
	if err := c.write(ctx, b); err != nil {
		return err
	}
	return c.wait(ctx)
}

func (c *filterChange) write(ctx context.Context, b broadcastRecord) error {
	value, err := json.Marshal(b)
	if err != nil {
		return err
	}
	revision := uint64(0)
	if c.revision == 0 {
		revision, err = c.records.Create(ctx, broadcastKey, value)
	} else {
		revision, err = c.records.Update(ctx, broadcastKey, value, c.revision)
	}
	if err != nil {
		return err
	}
	c.revision = revision
	return nil
}

// wait waits until all gateways have done what the record says.
func (c *filterChange) wait(ctx context.Context) error {
	late := time.NewTimer(changeWithin)
	defer late.Stop()
	for {
		if err := c.alone(); err != nil {
			return err
		}
		waits := c.waits()
		if waits == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late.C:
			return fmt.Errorf("gateway %s has not done it within %s", waits, changeWithin)
		case <-time.After(changePolls):
		}
	}
}

// waits is the name of a gateway that has not done what the record says; empty: all have. Revisions alone would not do: a
// central service that has lost its records begins at 1 again.
func (c *filterChange) waits() string {
	self := false
	for _, g := range c.listed() {
		if g.Applied != c.revision || g.Filters != c.filters() {
			return g.Name
		}
		self = self || g.Name == c.self
	}
	if !self {
		return c.self
	}
	return ""
}

// alone is an error if there is a gateway that would not hear of the change.
func (c *filterChange) alone() error {
	all := c.listed()
	for _, name := range c.linked() {
		if !slices.ContainsFunc(all, func(g central.Gateway) bool { return g.Name == name }) {
			return fmt.Errorf("%w: gateway %s is linked to this one and not on the list of its central service: a fleet shares one (central)", gateway.ErrNotStored, name)
		}
	}
	return nil
}

func equalFilters(a, b []string) bool {
	within := func(a, b []string) bool {
		return !slices.ContainsFunc(a, func(f string) bool { return !slices.Contains(b, f) })
	}
	return within(a, b) && within(b, a)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
