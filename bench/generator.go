package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// generator is the devices of one server, in this process or in one of its own.
type generator interface {
	do(ctx context.Context, o order) (outcome, error)
	close()
}

// order is one thing that the devices shall do: the field that is set.
type order struct {
	Connect  *load         `json:",omitempty"` // open all devices; before any other order but Batch
	Burst    *burstOrder   `json:",omitempty"`
	Pace     *paceOrder    `json:",omitempty"`
	Segments int           `json:",omitempty"` // a burst of so many messages; the segments that come are counted
	Batch    *batchOrder   `json:",omitempty"`
	Replace  *replaceOrder `json:",omitempty"`
	Rejoin   time.Duration `json:",omitempty"` // connect all anew, with this pause between attempts of a device
	Stop     bool          `json:",omitempty"` // Stopped devices stop reading
	Quiet    bool          `json:",omitempty"` // wait until nothing comes any more

	// Of devices with TLS.
	Rush     *rushOrder     `json:",omitempty"` // all connect at once, and leave
	Good     *goodOrder     `json:",omitempty"` // connect, to exchange messages
	Exchange *exchangeOrder `json:",omitempty"`
	// Of attackers.
	Assault *assaultOrder `json:",omitempty"` // begin, and go on until the generator ends
	Watch   time.Duration `json:",omitempty"` // count for this time how many connections are open
}

// burstOrder asks for bursts, one when the one before has arrived, for a time.
type burstOrder struct {
	Window  int           // messages in one write
	AtLeast time.Duration // may be one burst
	PID     int           // of the server, whose CPU time is asked; 0: not asked
	Latency bool          // from the write until each arrived
	Near    bool          // the next follows when the subscribers of Remote have it; those of Far are waited for at the end
}

// paceOrder asks for an open loop.
type paceOrder struct {
	Every    time.Duration
	Messages int
	PID      int
}

// batchOrder asks for devices that connect, subscribe and leave.
type batchOrder struct {
	Load load
	PID  int
}

// replaceOrder asks for subscribers that leave and others that come.
type replaceOrder struct{ First, Count int }

// outcome is what came of an order.
type outcome struct {
	Error      string          `json:",omitempty"`
	CPU        time.Duration   `json:",omitempty"` // of the server meanwhile
	Elapsed    time.Duration   `json:",omitempty"`
	Deliveries uint64          `json:",omitempty"`
	Messages   uint64          `json:",omitempty"`
	Segments   uint64          `json:",omitempty"`
	Records    uint64          `json:",omitempty"` // TLS records, where segments are counted
	Failed     int             `json:",omitempty"` // attempts to connect
	Kicked     int             `json:",omitempty"` // stopped devices that lost their connection
	Again      int             `json:",omitempty"` // devices of which an attempt failed
	Resumed    int             `json:",omitempty"` // devices that resumed a TLS session
	Lost       uint64          `json:",omitempty"` // messages of an exchange that did not come back
	Gone       int             `json:",omitempty"` // good devices that lost their connection
	Why        string          `json:",omitempty"` // the first of them did
	Joined     []time.Duration `json:",omitempty"` // what newcomers took to be in
	Open       []int           `json:",omitempty"` // attackers, each second
	Dialled    int             `json:",omitempty"` // connections of attackers, ever
	// Latency holds the percentiles of latencyPercentiles; with devices of load.Far
	// those of the others alone.
	Latency []time.Duration `json:",omitempty"`
	Far     []time.Duration `json:",omitempty"` // the same of the devices of load.Far
	Added   []time.Duration `json:",omitempty"` // of how much later each message came there
}

// latencyPercentiles are kept of every latency measurement; the last is the
// greatest value.
var latencyPercentiles = []float64{25, 50, 75, 90, 95, 99, 99.9, 100}

// Generate does the orders that it reads until there are no more, and writes an
// answer to each, both as JSON. It is what a load generator in a process of its
// own runs.
func Generate(ctx context.Context, orders io.Reader, answers io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan order)
	var broken error
	go func() {
		defer close(next)
		defer cancel() // whoever gives the orders is gone: no order is worth finishing
		for decoder := json.NewDecoder(orders); ; {
			var o order
			if broken = decoder.Decode(&o); broken != nil {
				return
			}
			select {
			case next <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	h := &hand{}
	defer h.close()
	encoder := json.NewEncoder(answers)
	for o := range next {
		a, err := h.do(ctx, o)
		if err != nil {
			a.Error = err.Error()
		}
		if err := encoder.Encode(a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	if errors.Is(broken, io.EOF) || ctx.Err() != nil && broken == nil {
		return nil
	}
	return fmt.Errorf("order: %w", broken)
}

// remote is a generator in a process of its own.
type remote struct {
	*process
	in      io.WriteCloser
	answers *json.Decoder
	orders  *json.Encoder
}

// startGenerator starts a command that runs Generate on its standard input and
// output.
func startGenerator(command []string, cpu int) (*remote, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...)}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.start(cpu); err != nil {
		return nil, err
	}
	return &remote{process: p, in: in, orders: json.NewEncoder(in), answers: json.NewDecoder(out)}, nil
}

func (r *remote) do(ctx context.Context, o order) (a outcome, err error) {
	stop := context.AfterFunc(ctx, r.kill)
	defer stop()
	if err = r.orders.Encode(o); err == nil {
		err = r.answers.Decode(&a)
	}
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case err != nil:
		return a, fmt.Errorf("the load generator is gone: %w: %s", err, r.errors)
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

// close ends the generator, which loses its orders; its connections end with it.
func (r *remote) close() {
	r.in.Close()
	select {
	case <-r.ended:
	case <-time.After(2 * time.Second):
		r.kill()
	}
}
