package central

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Watch calls fn with each record below a prefix, and from then on with each change,
// until ctx ends, which is what its error says. A deleted record has a nil value and
// revision 0. current is called when all that was there has been told, after each time
// that the service was away again; away when it goes. All calls come from this goroutine,
// one at a time; current and away may be nil.
//
// The prefix is all, "", or ends with a dot. What was changed and changed again in
// between may be told as one change. A service that lost its records altogether, such as an
// embedded one in memory that was restarted, deletes nothing: what was told stays
// true until somebody writes it anew.
func (s *Store) Watch(ctx context.Context, prefix string, fn func(key string, value []byte, revision uint64), current, away func()) error {
	if prefix != "" && !strings.HasSuffix(prefix, ".") {
		return fmt.Errorf("central: watch %q: want a prefix that ends with a dot, or none", prefix)
	}
	w := &watch{s: s, prefix: prefix, fn: fn, current: current, known: map[string]uint64{}}
	for {
		l, changed := s.c.link()
		if l == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.c.ctx.Done():
				return ErrClosed
			case <-changed:
			}
			continue
		}
		on, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(l.ctx, cancel)
		err := w.on(on, l)
		stop()
		cancel()
		if away != nil && w.isCurrent {
			away()
		}
		w.isCurrent = false
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l.ctx.Err() == nil {
			s.forget(l)
			s.c.log.Debug("central: records cannot be watched, it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// watch is what one watcher has been told.
type watch struct {
	s       *Store
	prefix  string
	fn      func(key string, value []byte, revision uint64)
	current func()

	known     map[string]uint64 // key: revision
	bucket    time.Time         // birth of the bucket that known is of
	again     bool              // the bucket is the one that known is of
	isCurrent bool
}

var errOtherBucket = errors.New("the bucket is another one now")

// bucketEach is how often it is asked whether the bucket is still the same.
const bucketEach = 5 * time.Second

func (w *watch) on(ctx context.Context, l *link) error {
	born, watcher, err := w.open(ctx, l)
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	w.again = w.bucket.Equal(born)
	present := map[string]bool{}
	tick := time.NewTicker(bucketEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if now, err := w.born(ctx, l); err != nil || !now.Equal(born) {
				return errors.Join(errOtherBucket, err)
			}
		case e, open := <-watcher.Updates():
			if !open {
				return errors.New("the watcher ended")
			}
			if e == nil {
				w.all(born, present)
				present = nil
				continue
			}
			w.one(e, present)
		}
	}
}

func (w *watch) open(ctx context.Context, l *link) (time.Time, jetstream.KeyWatcher, error) {
	born, err := w.born(ctx, l)
	if err != nil {
		return born, nil, err
	}
	kv, err := w.s.bucket(ctx, l)
	if err != nil {
		return born, nil, err
	}
	keys := ">"
	if w.prefix != "" {
		keys = escapeKey(strings.TrimSuffix(w.prefix, ".")) + ".>"
	}
	watcher, err := kv.Watch(ctx, keys)
	return born, watcher, err
}

// born is when the bucket was made.
func (w *watch) born(ctx context.Context, l *link) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	kv, err := w.s.bucket(ctx, l)
	if err != nil {
		return time.Time{}, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	s, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return time.Time{}, errOtherBucket
	}
	return s.StreamInfo().Created, nil
}

// one tells a record if it is news.
func (w *watch) one(e jetstream.KeyValueEntry, present map[string]bool) {
	key, ok := unescapeKey(e.Key())
	if !ok {
		return // nobody here has written it
	}
	if e.Operation() != jetstream.KeyValuePut {
		if _, known := w.known[key]; known {
			delete(w.known, key)
			w.fn(key, nil, 0)
		}
		return
	}
	if present != nil {
		present[key] = true
	}
	if revision, known := w.known[key]; known && revision == e.Revision() && w.again {
		return
	}
	w.known[key] = e.Revision()
	w.fn(key, e.Value(), e.Revision())
}

// all is reached when each record that is there was told: what was known and is not
// there was deleted, unless this is another bucket.
func (w *watch) all(born time.Time, present map[string]bool) {
	kept := 0
	for key := range w.known {
		switch {
		case present[key]:
		case w.again:
			delete(w.known, key)
			w.fn(key, nil, 0)
		default:
			w.known[key] = 0 // whatever comes is news
			kept++
		}
	}
	if kept > 0 {
		w.s.c.log.Warn("central has lost its records; what was known of them is kept", "records", kept)
	}
	w.bucket, w.again = born, true
	w.isCurrent = true
	if w.current != nil {
		w.current()
	}
}
