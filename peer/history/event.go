package history

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/bellwire/bellwire/wire"
)

// Kind is what happened.
type Kind string

// The kinds, and which fields they have beside At and Kind.
const (
	// Born: Gateway begins to run, as Origin. Life is that of its streams, if it is known.
	Born Kind = "born"
	// Died: Origin is killed.
	Died Kind = "died"
	// Left: Origin leaves in good order, all sent.
	Left Kind = "left"
	// Cut: between Gateway and Other nothing passes, one way at least. Cuts add up.
	Cut Kind = "cut"
	// Healed: one cut less between Gateway and Other.
	Healed Kind = "healed"
	// Paused: Gateway stands still.
	Paused Kind = "paused"
	// Continued: Gateway goes on.
	Continued Kind = "continued"
	// Fault: whoever injects them has proof of Count faults of the sort Name.
	Fault Kind = "fault"
	// Gauge: Name is at Count, and must not be above Offset.
	Gauge Kind = "gauge"

	// Publish: Number is about to be published to Topic at Origin. Life and Offset, if they are known already.
	Publish Kind = "publish"
	// Accepted: the gateway has acknowledged Number of Origin and Topic.
	Accepted Kind = "accepted"
	// Refused: the gateway has refused it, nobody may see it.
	Refused Kind = "refused"

	// Subscribed: Who has Topic, a filter, at Gateway, and is owed what is published from now on.
	Subscribed Kind = "subscribed"
	// Had: when it subscribed, Who had Offset of Life of Topic. It is owed all that comes behind.
	Had Kind = "had"
	// Away: Who has lost its connection.
	Away Kind = "away"
	// Back: Who is connected, to Gateway, and resumes.
	Back Kind = "back"
	// Stream: Who was told that Topic's Life goes on at Offset. What lies before and was not had is announced by that.
	Stream Kind = "stream"
	// Message: Who was given Number of Origin, in Topic, as Offset of Life. Number 0: its payload was altered.
	Message Kind = "message"
	// Gap: Who was told that Count positions of Life, 0: an unknown number, directly after those that it had, will not
	// come, for Reason. Offset is the last of them, if it was told. Life 0: of all lives of Topic; Topic empty: of all.
	Gap Kind = "gap"
	// End: Who was told that Life of Topic is over, and How.
	End Kind = "end"
)

// Event is one line of a history.
type Event struct {
	At      int64 // nanoseconds since the run began
	Kind    Kind
	Gateway string
	Other   string
	Origin  string // one run of one gateway: each start of it has a name of its own
	Who     string
	Topic   string
	Life    wire.Life
	Offset  uint64
	Number  uint64
	Count   uint64
	Reason  wire.Reason
	How     wire.How
	Name    string
}

// line is an event as it is written: a life in hexadecimal digits, an END's way by its name.
type line struct {
	At      int64       `json:"t"`
	Kind    Kind        `json:"do"`
	Gateway string      `json:"gateway,omitempty"`
	Other   string      `json:"other,omitempty"`
	Origin  string      `json:"origin,omitempty"`
	Who     string      `json:"who,omitempty"`
	Topic   string      `json:"topic,omitempty"`
	Life    string      `json:"life,omitempty"`
	Offset  uint64      `json:"offset,omitempty"`
	Number  uint64      `json:"number,omitempty"`
	Count   uint64      `json:"count,omitempty"`
	Reason  wire.Reason `json:"reason,omitempty"`
	How     string      `json:"how,omitempty"`
	Name    string      `json:"name,omitempty"`
}

// MarshalJSON writes the event as one line.
func (e Event) MarshalJSON() ([]byte, error) {
	l := line{e.At, e.Kind, e.Gateway, e.Other, e.Origin, e.Who, e.Topic, "", e.Offset, e.Number, e.Count, e.Reason, "", e.Name}
	if e.Life != 0 {
		l.Life = e.Life.String()
	}
	if e.Kind == End {
		l.How = e.How.String()
	}
	return json.Marshal(l)
}

// UnmarshalJSON reads what MarshalJSON wrote. A life may be shorter than 16 digits.
func (e *Event) UnmarshalJSON(b []byte) error {
	var l line
	if err := strictly(b, &l); err != nil {
		return err
	}
	*e = Event{l.At, l.Kind, l.Gateway, l.Other, l.Origin, l.Who, l.Topic, 0, l.Offset, l.Number, l.Count, l.Reason, 0, l.Name}
	var err error
	if l.Life != "" {
		if e.Life, err = lifeOf(l.Life); err != nil {
			return err
		}
	}
	if l.Kind == End {
		e.How, err = howOf(l.How)
	}
	return err
}

func lifeOf(s string) (wire.Life, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("history: life %q: want up to 16 hexadecimal digits", s)
	}
	return wire.Life(n), nil
}

func howOf(s string) (wire.How, error) {
	for _, how := range []wire.How{wire.EndComplete, wire.EndLost, wire.EndRestarted} {
		if s == how.String() {
			return how, nil
		}
	}
	return 0, fmt.Errorf("history: END %q: want complete, lost or restarted", s)
}
