package history

// Rules are what a run has to keep. All times are nanoseconds; 0 asks for nothing, or allows nothing.
type Rules struct {
	// Late is how long after it was published a message may be delivered, or announced as missing (G7). What a
	// subscriber gets after its connection, or the way between the gateways, is whole again counts from then on, and
	// Settle more for the way.
	Late int64 `json:"late,omitempty"`
	// EndWithin is how long after a gateway died its END may be told to who is connected (G7).
	EndWithin int64 `json:"end_within,omitempty"`
	// Settle is how long after a cut was healed, or a gateway was born or went on, something may still be announced as
	// missing, be late, or END be told because of it.
	Settle int64 `json:"settle,omitempty"`
	// Linking is how long a gateway takes after it was born to link to the others: what these publish meanwhile is not
	// owed to who subscribes at it without a place.
	Linking int64 `json:"linking,omitempty"`
	// Joining is how long after a gap of unknown size the place is still unknown: the gap is told first, the
	// subscription begins anew after it.
	Joining int64 `json:"joining,omitempty"`
	// Spare is how many positions may be announced as missing without a fault that explains it (G3).
	Spare uint64 `json:"spare,omitempty"`
	// Prompt is what is no delay. After a fault a subscriber has settled when nothing comes any more that is later than
	// that because of it: see Report.Settled.
	Prompt int64 `json:"prompt,omitempty"`
	// Floor is what a run must have been through.
	Floor Floor `json:"floor,omitzero"`
}

// Floor is the load and the faults under which a run shows something. A run with less is void.
type Floor struct {
	// Published and Delivered are messages per second, from the first to the last one that was published.
	Published float64 `json:"published,omitempty"`
	Delivered float64 `json:"delivered,omitempty"`
	// Span is the nanoseconds between these two.
	Span int64 `json:"span,omitempty"`
	// Subscribers is how many there must be, each of them connected at the end.
	Subscribers int `json:"subscribers,omitempty"`
	// Faults is how many of each sort must be proven.
	Faults map[string]uint64 `json:"faults,omitempty"`
}
