package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// fleetStatus is what a gateway says of its links on its admin address.
type fleetStatus struct {
	Links   []linkStatus `json:"links"`
	Batches struct {
		Batches  uint64 `json:"batches"`
		Messages uint64 `json:"messages"`
		Bytes    uint64 `json:"bytes"`          // as sent to one peer
		Saved    uint64 `json:"bytes_saved"`    // of these, by compression
		Micros   uint64 `json:"compression_us"` // that it took
	} `json:"batches"`
}

// linkStatus is the link to one other gateway.
type linkStatus struct {
	State    string `json:"state"`
	Batches  uint64 `json:"batches_sent"`
	Messages uint64 `json:"messages_sent"`
	Bytes    uint64 `json:"bytes_sent"`
	Received uint64 `json:"batches_received"`
	Resent   uint64 `json:"batches_resent"`
	Skipped  uint64 `json:"batches_skipped"`
}

const linkUp = "linked"

func fleetOf(ctx context.Context, p *process) (s fleetStatus, err error) {
	body, err := get(ctx, p.admin+"/v1/fleet")
	if err != nil {
		return s, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("%s/v1/fleet: %w", p.admin, err)
	}
	return s, nil
}

// sent is the sum of all links.
func (s *fleetStatus) sent() (all linkStatus) {
	for _, l := range s.Links {
		all.Batches += l.Batches
		all.Messages += l.Messages
		all.Bytes += l.Bytes
		all.Received += l.Received
		all.Resent += l.Resent
		all.Skipped += l.Skipped
	}
	return all
}

// linked waits until a gateway has so many links.
func linked(ctx context.Context, p *process, links int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		s, err := fleetOf(ctx, p)
		up := 0
		for _, l := range s.Links {
			if l.State == linkUp {
				up++
			}
		}
		if err == nil && up == links {
			return nil
		}
		if paused := pause(ctx, 20*time.Millisecond); paused != nil {
			return fmt.Errorf("%d of %d gateways are linked: %w: %s", up, links, paused, p.errors)
		}
	}
}
