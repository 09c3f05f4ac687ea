package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/bellwire/bellwire/wire"
)

// goodOrder asks for devices that each publish to a topic of their own and get
// what they published back. They connect with this order.
type goodOrder struct {
	Plain   secret // where those without TLS connect: its Remote and Sources
	TLS     secret
	Devices int
	OverTLS int // of them, spread evenly
	Topic   string
	Payload int // bytes of a message
}

// exchangeOrder asks good devices to exchange messages for a time.
type exchangeOrder struct {
	Every     time.Duration // between two messages of a device
	For       time.Duration
	Newcomers time.Duration // between two devices that connect, subscribe and leave; 0: none
	LostAfter time.Duration // from the last message on; what has not come back then is lost; 0: 5 s
}

const lostAfter = 5 * time.Second

// good is a fleet of devices that mean no harm. Each is read by a goroutine; one
// goroutine publishes for all.
type good struct {
	goodOrder
	plain, secret *caller
	all           []*goodDevice
	reading       sync.WaitGroup
	newcomers     int // that there have been

	mu    sync.Mutex // guards what follows, and next and first of the devices
	begin time.Time  // of the exchange
	every time.Duration
	taken *hdrhistogram.Histogram
	wrong error // the first message that came back altered, twice or out of order
}

// goodDevice is one of them. Its messages are numbered from 0.
type goodDevice struct {
	*called
	number  int
	phase   time.Duration // of its messages
	credit  atomic.Int64
	sent    atomic.Uint64 // messages, ever
	back    atomic.Uint64 // of those of this exchange
	first   uint64        // number of the first message of this exchange
	next    uint64        // least number that may come back
	gone    atomic.Bool
	why     error // set before gone
	out     []byte
	payload []byte
}

func newGood(ctx context.Context, o goodOrder) (g *good, err error) {
	if o.Devices < 1 || o.OverTLS > o.Devices || o.Payload < sequenceLen {
		return nil, fmt.Errorf("%d good devices, %d of them over TLS, messages of %d bytes: there is nothing to exchange", o.Devices, o.OverTLS, o.Payload)
	}
	g = &good{goodOrder: o, plain: &caller{remote: o.Plain.Remote, sources: o.Plain.Sources}}
	if g.secret, err = o.TLS.callers(""); err != nil {
		return nil, err
	}
	if err := g.connect(ctx); err != nil {
		g.close()
		return nil, err
	}
	for _, d := range g.all {
		g.reading.Go(func() { g.read(d) })
	}
	return g, nil
}

// overTLS says whether a device of a number speaks TLS: they alternate as evenly
// as their numbers allow.
func (o goodOrder) overTLS(number int) bool {
	return (number+1)*o.OverTLS/o.Devices > number*o.OverTLS/o.Devices
}

// one connects a device to a topic of its own.
func (g *good) one(ctx context.Context, number int, overTLS bool) (*called, error) {
	c := *g.plain
	var cfg *tls.Config
	if overTLS {
		c = *g.secret
		var err error
		if cfg, err = c.config(number, false); err != nil {
			return nil, err
		}
	}
	c.topic = fmt.Sprintf("%s-%07d", g.Topic, number)
	d, _, err := c.insist(ctx, number, cfg)
	return d, err
}

func (g *good) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.all = make([]*goodDevice, g.Devices)
	var calling sync.WaitGroup
	room := make(chan struct{}, handshakes)
	for i := range g.all {
		calling.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			c, err := g.one(ctx, i, g.overTLS(i))
			if err != nil {
				cancel(fmt.Errorf("good device %d of %d: %w", i+1, g.Devices, err))
				return
			}
			d := &goodDevice{called: c, number: i, payload: pattern(g.Payload)}
			d.credit.Store(int64(min(c.welcome.Credit, 1<<40)))
			g.all[i] = d
		})
	}
	calling.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

func (g *good) close() {
	for _, d := range g.all {
		if d != nil {
			d.tcp.Close()
		}
	}
	g.reading.Wait()
}

// read takes what comes for a device until its connection ends.
func (g *good) read(d *goodDevice) {
	in := make([]byte, 8192)
	have := copy(in, d.rest)
	for {
		n, err := d.Read(in[have:])
		now := time.Now()
		rest := in[:have+n]
		for err == nil {
			typ, body, next, broken := wire.Next(rest, maxFrame)
			if errors.Is(broken, wire.ErrShort) {
				break
			}
			if err = broken; err == nil {
				err = g.frame(d, typ, body, now)
			}
			rest = next
		}
		if err != nil {
			d.why = err
			d.gone.Store(true)
			return
		}
		have = copy(in, rest)
	}
}

func (g *good) frame(d *goodDevice, typ wire.Type, body []byte, now time.Time) error {
	switch {
	case typ.Base() == wire.TypeMessage:
		m, err := wire.ParseMessage(typ, body)
		if err != nil {
			return err
		}
		return g.message(d, m.Payload, now)
	case typ == wire.TypeCredit:
		c, err := wire.ParseCredit(body)
		d.credit.Add(int64(min(c.Bytes, 1<<40)))
		return err
	case typ == wire.TypePing:
		_, err := d.Write(wire.AppendPong(nil, body))
		return err
	case typ == wire.TypeClose:
		return closed(body)
	case typ == wire.TypeError:
		e, err := wire.ParseRefusal(body)
		if err == nil {
			err = fmt.Errorf("the server refused a %v: %v %s", e.Type, e.Code, e.Text)
		}
		return err
	}
	return nil // a gap shows in what is lost
}

// message takes what came back. Messages may be lost, but those that come are
// unaltered, in order and once. One that comes when it counts as lost stays so.
func (g *good) message(d *goodDevice, p []byte, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(p) != g.Payload || !bytes.Equal(p[sequenceLen:], d.payload[sequenceLen:]) {
		return g.blame(fmt.Errorf("good device %d: a message came back altered: %d bytes, sent %d", d.number+1, len(p), g.Payload))
	}
	number := binary.BigEndian.Uint64(p)
	if number < d.next || number >= d.sent.Load() {
		return g.blame(fmt.Errorf("good device %d: message %d came back where %d was due, of %d", d.number+1, number, d.next, d.sent.Load()))
	}
	d.next = number + 1
	if number >= d.first {
		due := g.begin.Add(d.phase + time.Duration(number-d.first)*g.every) //nolint:gosec // a run has far fewer
		g.taken.RecordValue(max(1, now.Sub(due).Nanoseconds()))             //nolint:errcheck // nothing of a minute comes back in time
		d.back.Add(1)
	}
	return nil
}

func (g *good) blame(err error) error {
	if g.wrong == nil {
		g.wrong = err
	}
	return err
}
