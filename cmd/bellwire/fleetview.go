package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// fleetView is what GET /v1/fleet answers.
type fleetView struct {
	Cluster  string         `json:"cluster"`
	Central  string         `json:"central"` // embedded, shared, private, off or away
	Gateways []fleetGateway `json:"gateways"`
	Links    []fleetLink    `json:"links"`
	Streams  []fleetStreams `json:"streams"`
}

// fleetGateway is one life of one gateway.
type fleetGateway struct {
	Name    string    `json:"name"`
	Life    string    `json:"life"` // 16 hexadecimal digits
	Self    bool      `json:"self"`
	State   string    `json:"state"`   // linked, listed (by the central service only), lost, left, restarted; of the gateway itself: ready, starting or draining
	Address string    `json:"address"` // for other gateways
	Version string    `json:"version"`
	Devices *int64    `json:"devices"` // null where this gateway is not told
	Since   time.Time `json:"since"`   // of the state
	// FiltersDiffer: it broadcasts other topics than the one that was asked.
	FiltersDiffer bool `json:"filters_differ"`
}

// fleetLink is the link to one other gateway; figures count from when this gateway began.
type fleetLink struct {
	Name        string    `json:"name"`    // empty as long as the other end has not said it
	Address     string    `json:"address"` // where it is dialled, or dialled from
	State       string    `json:"state"`   // linked, connecting, silent, refused
	Error       string    `json:"error"`   // why it is not linked
	Since       time.Time `json:"since"`   // of the state
	DelayMicros int64     `json:"delay_us"`
	Batches     int64     `json:"batches_sent"`
	Sent        int64     `json:"messages_sent"`
	SentBytes   int64     `json:"bytes_sent"`
	SavedBytes  int64     `json:"bytes_saved"` // by compression
	Received    int64     `json:"messages_received"`
	Retained    int64     `json:"bytes_retained"`
	Skipped     int64     `json:"messages_skipped"`
	Refused     int64     `json:"messages_refused"`
}

// fleetStreams are the streams of one origin, as this gateway has them.
type fleetStreams struct {
	Gateway    string `json:"gateway"`
	Life       string `json:"life"`
	State      string `json:"state"` // own, open, held (its link is gone), ended
	Streams    int64  `json:"streams"`
	Messages   int64  `json:"messages"`
	Duplicates int64  `json:"duplicates"`
	Fetched    int64  `json:"fetched"`
	Missed     int64  `json:"missed"` // announced as gaps
}

// errNoFleet is an answer that is not what was asked for.
var errNoFleet = errors.New("the answer is not that of a gateway")

func readFleet(answer []byte) (fleetView, error) {
	var view fleetView
	if err := json.Unmarshal(answer, &view); err != nil {
		return fleetView{}, fmt.Errorf("%w: %w", errNoFleet, err)
	}
	if len(view.Gateways) == 0 {
		return fleetView{}, fmt.Errorf("%w: there is no gateway in it, not even that one", errNoFleet)
	}
	return view, nil
}

// self is the name of the gateway that answered.
func (f *fleetView) self() string {
	for _, g := range f.Gateways {
		if g.Self {
			return g.Name
		}
	}
	return "unknown"
}

// linked is how many other gateways this one is linked to.
func (f *fleetView) linked() int {
	n := 0
	for _, l := range f.Links {
		if l.State == "linked" {
			n++
		}
	}
	return n
}
