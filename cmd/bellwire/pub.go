package main

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/time/rate"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// pubCmd is `bellwire pub`.
type pubCmd struct {
	deviceFlags
	Topic   string  `arg:"" help:"Topic, without wildcards."`
	Payload string  `arg:"" optional:"" help:"Message; - publishes each line of the standard input; left out: an empty message."`
	Count   int     `placeholder:"N" help:"Publish N times; of the standard input, N lines at most. Default: once, or all lines."`
	Rate    float64 `placeholder:"R" help:"Messages a second at most; 0: as fast as they are acknowledged."`
	Retry   bool    `help:"Publish again after a lost connection; subscribers may then see a message twice."`
}

// Help says when it is done.
func (c *pubCmd) Help() string {
	return "Ends with 0 once the gateway has acknowledged everything. Where the gateway says \"later\", as when this is faster than its " +
		"limits.publish_rate, the message waits as long as the gateway asks and is sent again. A line of the standard input that is " +
		"too large for the gateway is left out: the standard error says which, the others go on, and at the end this ends with 1. " +
		"If the connection is lost before an answer, nobody knows whether that message was published: without --retry this ends with 3."
}

// standardInput as the payload stands for its lines.
const standardInput = "-"

// Run publishes one message after the other, each when the one before is acknowledged.
func (c *pubCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return exitWith(exitUsage, err)
	}
	ctx, stop := e.interruptible()
	defer stop()
	d, err := c.connect(ctx, e)
	if err != nil {
		return err
	}
	defer d.leave()
	var options []client.PubOption
	if c.Retry {
		options = append(options, client.WithRetry())
	}
	limiter := rate.NewLimiter(rate.Inf, 1)
	if c.Rate > 0 {
		limiter.SetLimit(rate.Limit(c.Rate))
	}
	next, left := c.repeated(), leftOut{notes: e.stderr}
	if c.Payload == standardInput {
		next = linesOf(d.ctx, e.stdin, c.Count)
	}
	for number := 1; ; number++ {
		payload, more, err := next()
		if err == nil && !more {
			return left.err()
		}
		if err == nil {
			if err := limiter.Wait(d.ctx); err != nil {
				return d.reason(err)
			}
			err = d.Publish(d.ctx, c.Topic, payload, options...)
		}
		switch {
		case err == nil:
		case c.Payload == standardInput && tooLarge(err) && d.ctx.Err() == nil:
			left.out(c.explain(err, number))
		default:
			return d.reason(c.explain(err, number))
		}
	}
}

// leftOut counts the lines that no gateway, or not this one, can take.
type leftOut struct {
	notes io.Writer
	lines int
}

// out tells of one.
func (l *leftOut) out(why error) {
	l.lines++
	fmt.Fprintf(l.notes, "bellwire: left out: %s\n", inWords(why))
}

// err is what to end with: a stream that is not whole is no success.
func (l *leftOut) err() error {
	switch l.lines {
	case 0:
		return nil
	case 1:
		return errors.New("1 line was too large and was not published")
	}
	return fmt.Errorf("%d lines were too large and were not published", l.lines)
}

// tooLarge: this message alone is to blame, and the next one may fit.
func tooLarge(err error) bool {
	var refused *client.RefusedError
	return errors.Is(err, errLongLine) || errors.As(err, &refused) && refused.Code == wire.CodePayloadTooLarge
}

func (c *pubCmd) check() error {
	if c.Count < 0 {
		return fmt.Errorf("--count: %d messages cannot be published", c.Count)
	}
	if !(c.Rate >= 0) {
		return fmt.Errorf("--rate: %v is not a rate: write messages a second, such as 10 or 0.5", c.Rate)
	}
	return wire.CheckTopic([]byte(c.Topic))
}

// explain adds the way out, and of the standard input the line.
func (c *pubCmd) explain(err error, number int) error {
	if c.Payload == standardInput {
		err = fmt.Errorf("line %d: %w", number, err)
	}
	var refused *client.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case wire.CodeNoCentral:
		if refused.Text != "" {
			return err // the gateway has said what would do
		}
		return fmt.Errorf("%w: this gateway publishes only broadcast topics, which are those that match its filters: "+
			"broadcast/# unless it was told others (`bellwire status` shows them)", err)
	case wire.CodePayloadTooLarge:
		return fmt.Errorf("%w: the gateway takes frames up to its limits.frame, 64KiB unless it was told otherwise", err)
	}
	return err
}

// source hands out payloads until there are no more.
type source func() (payload []byte, more bool, err error)

// repeated is the payload of the command line, as often as asked.
func (c *pubCmd) repeated() source {
	left, payload := max(c.Count, 1), []byte(c.Payload)
	return func() ([]byte, bool, error) {
		left--
		return payload, left >= 0, nil
	}
}
