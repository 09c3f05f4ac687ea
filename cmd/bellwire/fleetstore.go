package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/central"
)

// The keys of the fleet's records, and below --data of the copies.
const (
	// policyKey is the text of a policy file; empty: there was one, and the gateways' own files hold again. A record that is
	// not there says nothing, because a central service in memory loses its records.
	policyKey = "policy"
	// broadcastKey is a broadcastRecord.
	broadcastKey = "broadcast"
)

// broadcastRecord are the fleet's broadcast filters; also is nil but while they change.
type broadcastRecord struct {
	Filters []string `json:"filters"`
	Also    []string `json:"also,omitzero"`
}

func readBroadcast(value []byte) (broadcastRecord, error) {
	var b broadcastRecord
	err := json.Unmarshal(value, &b)
	if err == nil && b.Filters == nil {
		err = errors.New("no filters in it")
	}
	return b, err
}

// fleetPolicy takes the place of the policy that the settings name.
type fleetPolicy struct {
	policy *access.Policy
	quotas map[string]gateway.Quota
}

func readFleetPolicy(text []byte) (*fleetPolicy, error) {
	policy, quotas, err := parsePolicy("the fleet's policy", text)
	if err != nil {
		return nil, err
	}
	return &fleetPolicy{policy, gatewayQuotas(quotas)}, nil
}

// over is the configuration with it; nil changes nothing.
func (p *fleetPolicy) over(cfg gateway.Config) gateway.Config {
	if p != nil {
		cfg.Policy, cfg.Quotas = p.policy, p.quotas
	}
	return cfg
}

// setFleetPolicy puts it in force, or the settings' again if it is nil. With an error all stays as it was.
func (v *service) setFleetPolicy(p *fleetPolicy) error {
	v.ruling.Lock()
	defer v.ruling.Unlock()
	if err := v.gateway.Reload(p.over(v.last)); err != nil {
		return err
	}
	v.fleet = p
	return nil
}

// fleetStore has this gateway do what the fleet has stored, and stores it.
type fleetStore struct {
	v        *centralService
	data     string // directory of the copies; empty: none are kept
	certain  bool   // nothing has to be waited for: central is in memory, or there is a copy of the policy
	open     bool   // the settings name no policy
	service  *service
	own      []string      // the broadcast filters of the settings
	applied  atomic.Uint64 // revision of the broadcast filters in force; 0: they are of no record that the central service has
	current  chan struct{} // closed when all records have been told once
	policied bool          // a policy of the fleet is in force, or its end; the watcher's
	changing chan struct{} // holds one while the filters are changed through this gateway
}

func newFleetStore(v *centralService, s Settings) *fleetStore {
	return &fleetStore{
		v: v, data: s.Data, certain: s.Central == centralEmbedded && s.Data == "", open: s.Policy == "", own: s.Broadcast,
		current: make(chan struct{}), changing: make(chan struct{}, 1),
	}
}

// begin puts the copies in force and follows the records.
func (f *fleetStore) begin(service *service) {
	f.service = service
	for _, key := range []string{policyKey, broadcastKey} {
		value, err := f.copied(key)
		switch {
		case err != nil:
			f.v.log.Error("what was known last of the fleet's record is not read", "record", key, "error", err)
			if key == policyKey {
				f.close()
			}
		case value != nil:
			f.changed(key, value, 0)
			f.certain = f.certain || key == policyKey
		}
	}
	f.v.running.Go(func() {
		current := func() {
			select {
			case <-f.current:
			default:
				close(f.current)
			}
		}
		_ = f.v.Records().Watch(f.v.ctx, "", f.told, current, nil)
	})
}

// storedPatience is how long a gateway that does not know whether there is a policy of the fleet waits for it before it
// takes devices by its own.
const storedPatience = 2 * time.Second

// await waits for the records where devices could be let in by rules that are not the fleet's.
func (f *fleetStore) await() {
	if f.certain {
		return
	}
	late := time.NewTimer(storedPatience)
	defer late.Stop()
	select {
	case <-f.current:
	case <-f.v.ctx.Done():
	case <-late.C:
		f.v.log.Warn("the central service is away: until it is there this gateway goes by its own policy and broadcast filters, and not by what the fleet may have stored", "data", f.data)
	}
}

// told takes a record, or its end.
func (f *fleetStore) told(key string, value []byte, revision uint64) {
	if key != policyKey && key != broadcastKey {
		return
	}
	if f.changed(key, value, revision) {
		f.keep(key, value)
	}
}

// changed puts a record in force; false: it makes no sense, and all stays as it was.
func (f *fleetStore) changed(key string, value []byte, revision uint64) bool {
	err := error(nil)
	if key == policyKey {
		err = f.changePolicy(value)
	} else {
		err = f.changeBroadcast(value, revision)
	}
	if err != nil {
		f.v.log.Error("a record of the fleet makes no sense, what was in force stays", "record", key, "error", err)
	}
	return err == nil
}

func (f *fleetStore) changePolicy(text []byte) error {
	var p *fleetPolicy
	if len(text) > 0 {
		var err error
		if p, err = readFleetPolicy(text); err != nil {
			f.close()
			return err
		}
	}
	if err := f.service.setFleetPolicy(p); err != nil {
		return err
	}
	f.policied = true
	if p == nil {
		f.v.log.Info("the fleet has no policy any more: that of the settings holds")
	} else {
		f.v.log.Info("the fleet's policy is in force")
	}
	return nil
}

// close grants nothing, where there is a policy of the fleet that cannot be read and nothing that could stay in force: the
// gateway has just started, and its settings would grant everything.
func (f *fleetStore) close() {
	select {
	case <-f.current:
		return
	default:
	}
	if f.policied || !f.open {
		return
	}
	nothing, err := readFleetPolicy(nil)
	if err == nil {
		err = f.service.setFleetPolicy(nothing)
	}
	if err != nil {
		f.v.log.Error("the fleet's policy cannot be read, and this gateway's own stays in force", "error", err)
		return
	}
	f.v.log.Warn("nothing is granted until the fleet's policy can be read")
}

func (f *fleetStore) changeBroadcast(value []byte, revision uint64) error {
	b := broadcastRecord{Filters: f.own}
	if value != nil {
		var err error
		if b, err = readBroadcast(value); err != nil {
			return err
		}
	}
	if err := f.service.gateway.SetBroadcast(f.v.ctx, b.Filters, b.Also); err != nil {
		return err
	}
	f.v.log.Info("broadcast filters", "filters", b.Filters, "also", b.Also)
	if revision == 0 {
		f.applied.Store(0)
		return nil
	}
	// Others go on when this one says that it takes what they send.
	if err := f.v.Subscribed(f.v.ctx); err != nil {
		return nil // the gateway ends
	}
	f.applied.Store(revision)
	f.v.Renew()
	return nil
}

func (f *fleetStore) path(key string) string { return filepath.Join(f.data, "fleet-"+key) }

// copied is what was known last of a record; nil: nothing.
func (f *fleetStore) copied(key string) ([]byte, error) {
	if f.data == "" {
		return nil, nil
	}
	value, err := os.ReadFile(f.path(key))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return value, err
}

// keep is for the next start, when the central service may be away.
func (f *fleetStore) keep(key string, value []byte) {
	if f.data == "" {
		return
	}
	err := os.MkdirAll(f.data, 0o700)
	switch {
	case err != nil:
	case value != nil:
		err = replaceFile(f.path(key), value)
	default:
		if err = os.Remove(f.path(key)); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		f.v.log.Error("the fleet's record is not kept for the next start", "record", key, "error", err)
	}
}

// Policy implements gateway.Stored.
func (f *fleetStore) Policy(ctx context.Context) ([]byte, error) {
	text, _, err := f.v.Records().Get(ctx, policyKey)
	if errors.Is(err, central.ErrNotFound) || err == nil && len(text) == 0 {
		return nil, nil
	}
	return text, err
}

// StorePolicy implements gateway.Stored.
func (f *fleetStore) StorePolicy(ctx context.Context, text []byte) error {
	if text != nil {
		if len(text) == 0 {
			return fmt.Errorf("%w: an empty text: write one that grants nothing as rules: [], or delete the policy", gateway.ErrNotStored)
		}
		if len(text) > central.MaxRecord {
			return fmt.Errorf("%w: %s, and a record holds %s: write patterns such as sensor-*, or {device} in the topics",
				gateway.ErrNotStored, Size(len(text)), Size(central.MaxRecord))
		}
		if _, err := readFleetPolicy(text); err != nil {
			return fmt.Errorf("%w: %w", gateway.ErrNotStored, err)
		}
	}
	_, err := f.v.Records().Put(ctx, policyKey, text)
	return err
}

// Broadcast implements gateway.Stored.
func (f *fleetStore) Broadcast(ctx context.Context) (gateway.StoredBroadcast, error) {
	value, _, err := f.v.Records().Get(ctx, broadcastKey)
	if errors.Is(err, central.ErrNotFound) {
		return gateway.StoredBroadcast{Filters: f.inForce()}, nil
	}
	if err != nil {
		return gateway.StoredBroadcast{}, err
	}
	b, err := readBroadcast(value)
	return gateway.StoredBroadcast{Filters: b.Filters, Also: b.Also, Stored: true}, err
}

// StoreBroadcast implements gateway.Stored. It goes on if ctx ends meanwhile: half a change would have to be taken back.
func (f *fleetStore) StoreBroadcast(_ context.Context, filters []string) error {
	select {
	case f.changing <- struct{}{}:
		defer func() { <-f.changing }()
	default:
		return fmt.Errorf("%w: the filters are being changed by somebody else", gateway.ErrNotStored)
	}
	c := filterChange{
		records: f.v.Records(), own: f.inForce(), self: f.service.gateway.Name(),
		listed: func() []central.Gateway { all, _ := f.v.Gateways(); return all },
		linked: f.v.linked, filters: f.service.gateway.FiltersHash,
	}
	return c.run(f.v.ctx, filters)
}

// inForce are the broadcast filters that the gateway goes by. They are not those of the settings if the central service has
// lost its records, or if there was a copy of them.
func (f *fleetStore) inForce() []string { return f.service.gateway.Status().Broadcast }
