package client

import "time"

// Phase is where a client is.
type Phase uint8

// The phases.
const (
	Connected    Phase = iota // a gateway serves it
	Reconnecting              // it was lost, or not reached; another attempt follows
	Closed                    // it will not come back
)

// String is the phase in lower case.
func (p Phase) String() string {
	switch p {
	case Connected:
		return "connected"
	case Reconnecting:
		return "reconnecting"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// State is told to WithOnState.
type State struct {
	Phase  Phase
	Server string        // the gateway it is connected to, or tries next
	Err    error         // why the last connection ended; nil with Connected
	Wait   time.Duration // with Reconnecting: until the next attempt
}
