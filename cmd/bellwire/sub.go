package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// subCmd is `bellwire sub`.
type subCmd struct {
	deviceFlags
	Filters []string `arg:"" name:"filter" help:"Topics; + stands for one level, a last # for the rest, as in 'broadcast/#'."`
	Count   int      `placeholder:"N" help:"End after N messages; 0: never."`
	Format  string   `enum:"text,json,raw" default:"text" help:"text: topic and payload; json: an object a line; raw: payloads alone."`
	Cursor  string   `placeholder:"FILE" help:"Keep the place in this file and go on from there."`
	Start   string   `enum:"now,last,kept" default:"now" help:"Where a topic without wildcard begins: now, last (message), kept (all that the gateway still has)."`
	Policy  string   `noenv:"" enum:"oldest,latest,lossless" default:"oldest" help:"What is dropped when this is too slow: the oldest, all but the latest, or nothing while the gateway keeps it."`
	NoEcho  bool     `help:"Leave out what this device publishes itself."`
}

// Help says what the exit codes and the cursor promise.
func (c *subCmd) Help() string {
	return "Messages that will not come are told as a gap: in JSON among the messages, else on the standard error. The cursor file is " +
		"written after a message was printed, at most ten times a second: a crash repeats messages and never loses one. A filter " +
		"with a wildcard goes on in the topics that it has seen; each time that it comes back, after a lost connection or with --cursor, a gap " +
		"says that other topics may have had messages. A message that matches two filters is printed for each."
}

var (
	starts   = map[string]wire.Start{"now": wire.StartNow, "last": wire.StartLast, "kept": wire.StartKept}
	policies = map[string]wire.Policy{"oldest": wire.DropOldest, "latest": wire.LatestOnly, "lossless": wire.Lossless}
)

// Run prints until the count is reached or the command is interrupted.
func (c *subCmd) Run(e *env) error {
	filters, err := c.filters()
	if err != nil {
		return exitWith(exitUsage, err)
	}
	var cursor *cursorKeeper
	if c.Cursor != "" {
		if cursor, err = openCursor(c.Cursor, filters); err != nil {
			return err
		}
	}
	interruptible, stop := e.interruptible()
	defer stop()
	d, err := c.connect(interruptible, e)
	if err != nil {
		return err
	}
	defer d.leave()
	s := &subscriber{
		device: d, left: c.Count, counted: c.Count > 0, cursor: cursor,
		printer: eventPrinter{format: c.Format, out: e.stdout, notes: e.stderr},
	}
	return s.run(filters, c.options)
}

// filters checks what was asked for; the same filter twice is one.
func (c *subCmd) filters() ([]string, error) {
	if c.Count < 0 {
		return nil, fmt.Errorf("--count: %d messages cannot be waited for", c.Count)
	}
	var filters []string
	for _, filter := range c.Filters {
		if err := wire.CheckFilter([]byte(filter)); err != nil {
			return nil, err
		}
		if c.Start != "now" && wire.IsWildcard([]byte(filter)) {
			return nil, fmt.Errorf("--start %s: %s has a wildcard, which begins now: name the topics, or resume with --cursor", c.Start, filter)
		}
		if !slices.Contains(filters, filter) {
			filters = append(filters, filter)
		}
	}
	return filters, nil
}

// options are those of one subscription that goes on from positions, if there are any; nil if there is no cursor file. A
// wildcard of a file without positions was away all the same, and has to say so.
func (c *subCmd) options(filter string, positions []client.TopicPosition) []client.SubOption {
	options := []client.SubOption{client.WithPolicy(policies[c.Policy]), client.WithStart(starts[c.Start])}
	if c.NoEcho {
		options = append(options, client.WithNoEcho())
	}
	if len(positions) > 0 || positions != nil && wire.IsWildcard([]byte(filter)) {
		options = append(options, client.WithCursor(positions...))
	}
	return options
}

// cursorEvery is how often the cursor file is written at most: each time costs a sync of the disk.
const cursorEvery = 100 * time.Millisecond

// errEnough ends the subscriptions when the count is reached.
var errEnough = errors.New("all messages that were asked for have come")

// subscriber prints what several subscriptions of one device bring.
type subscriber struct {
	device  *device
	printer eventPrinter
	counted bool

	mu     sync.Mutex // guards what follows, and the order of printing
	left   int        // messages to come, if counted
	cursor *cursorKeeper
}

// run subscribes and returns why it ended: nil if all has come.
func (s *subscriber) run(filters []string, options func(string, []client.TopicPosition) []client.SubOption) error {
	ctx, end := context.WithCancelCause(s.device.ctx)
	defer end(nil)
	var following sync.WaitGroup
	defer following.Wait()
	for i, filter := range filters {
		var positions []client.TopicPosition
		if s.cursor != nil {
			positions = s.cursor.parts[i]
		}
		subscription, err := s.device.Subscribe(ctx, filter, options(filter, positions)...)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			end(err)
			break
		}
		following.Go(func() { end(s.follow(ctx, i, subscription)) })
	}
	<-ctx.Done()
	following.Wait()
	if err := context.Cause(ctx); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// follow prints the events of one subscription until there are no more.
func (s *subscriber) follow(ctx context.Context, number int, subscription *client.Subscription) error {
	unsaved, due := s.cursor != nil, time.Now().Add(cursorEvery)
	for {
		event, err := next(ctx, subscription, unsaved, due)
		switch {
		case errors.Is(err, errDue):
		case err != nil:
			if unsaved {
				if failed := s.save(number, subscription); failed != nil {
					return failed
				}
			}
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		default:
			printed, err := s.print(subscription.Filter(), event)
			unsaved = unsaved || printed && s.cursor != nil
			if err != nil {
				if printed && unsaved {
					if failed := s.save(number, subscription); failed != nil {
						return failed
					}
				}
				return err // what was not printed is not saved
			}
		}
		if unsaved && !time.Now().Before(due) {
			if err := s.save(number, subscription); err != nil {
				return err
			}
			unsaved, due = false, time.Now().Add(cursorEvery)
		}
	}
}

// errDue: nothing has come before the place was to be saved.
var errDue = errors.New("the cursor is due")

// next is the next event, or errDue at the due time if there is something to save.
func next(ctx context.Context, subscription *client.Subscription, unsaved bool, due time.Time) (client.Event, error) {
	if !unsaved {
		return subscription.Next(ctx)
	}
	until, cancel := context.WithDeadlineCause(ctx, due, errDue)
	defer cancel()
	event, err := subscription.Next(until)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(until), errDue) {
		return nil, errDue
	}
	return event, err
}

// print prints one event unless enough has come already; errEnough comes with the last one as well.
func (s *subscriber) print(filter string, event client.Event) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counted && s.left == 0 {
		return false, errEnough
	}
	message, err := s.printer.print(filter, event)
	if err != nil {
		return false, fmt.Errorf("cannot print: %w", err)
	}
	if message && s.counted {
		if s.left--; s.left == 0 {
			return true, errEnough
		}
	}
	return true, nil
}

// save notes the place of one subscription, all of whose events were printed.
func (s *subscriber) save(number int, subscription *client.Subscription) error {
	positions := subscription.Cursor()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor.set(number, positions)
}
