package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	beatEvery  = 500 * time.Millisecond
	ackEvery   = 16 // batches
	ackWithin  = 75 * time.Millisecond
	topsEvery  = time.Second // at most, per link
	topsWithin = 120         // seconds, which is what rings keep
	maxAsked   = 64          // questions of a peer that wait for an answer
	maxControl = 256 << 10   // bytes of frames that wait to be written, beside batches and answers
)

// phase of a link. The dialler says HELLO, the other side answers with HELLO and ACK, the dialler with ACK. Each side's
// ACK states what it holds of the other's batches, which go on from there; only then are both sure of each other.
type phase uint8

const (
	greeting phase = iota // HELLO is to come
	greeted               // ACK is to come
	up
	closed // CLOSE is to be written, if the other side has not said it
)

func (p phase) String() string { return [...]string{"greeting", "greeted", "up", "closed"}[p] }

// endpoint is a connection as a link knows it.
type endpoint struct {
	dialled  bool   // by this side
	address  string // of the other side
	looksFor string // the gateway that was dialled, if it is known
	proven   string // the name on its certificate; empty without TLS
	// believed asks again whether its certificate is; nil: whoever got in once is.
	believed func() error
	begun    time.Duration
}

// link is one connection for batches. A reader calls handle for each frame that came and gone at the end, a writer calls
// next for what is to be written, and core.tick is called all the time.
type link struct {
	core *core
	endpoint
	wake   func() // has the writer call next; must not block
	ctx    context.Context
	cancel context.CancelFunc // of ctx, on which the reader may be waiting

	// Of the reader, set before phase is greeted or up.
	hello  hello
	member *member
	origin *origin
	kept   []Kept // scratch
	noted  bool   // by the shell: it is no stranger any more

	reading  atomic.Int64 // since when handle has been at work, +1; 0: it is not
	unacked  int          // batches since the last ACK; of the reader
	ackSince atomic.Int64 // when the first of them came, +1; 0: there is none

	// Of the writer.
	tops   [][]byte // frames to be written
	topsAt time.Duration
	answer []byte // scratch

	mu           sync.Mutex
	phase        phase
	why          *CloseError
	bye          []byte // the last frame
	ended        bool   // END has been written
	cursor       *cursor
	out          []byte // frames to be written first
	spare        []byte
	asked        []question
	topsLater    bool
	ackDue       bool
	beatDue      bool
	beatAt       time.Duration // of the last HEARTBEAT
	beatSeq      uint64
	beating      bool          // it is not answered
	waiting      time.Duration // since when HEARTBEATs have not been answered, if beating
	heard        time.Duration // when anything was read last
	answeredBusy time.Duration // the last ACK that only said so
	delay        time.Duration
}

// question is what a peer asked for. It is answered after the batch that has what was in the log then, so that nothing
// that is live comes behind an answer.
type question struct {
	fetch
	after uint64
}

// say queues a frame.
func (l *link) say(frame []byte) {
	l.mu.Lock()
	if l.phase != closed {
		l.out = append(l.out, frame...)
		if len(l.out) > maxControl {
			l.failLocked(&CloseError{Why: Broken, Text: "it does not read what it asked for"})
		}
	}
	l.mu.Unlock()
	l.wake()
}

// recheck ends the link if its certificate is not believed any more.
func (l *link) recheck() {
	if l.believed == nil {
		return
	}
	if err := l.believed(); err != nil {
		l.fail(&CloseError{Why: Disbelieved, Text: err.Error()})
	}
}

// fail ends the link; the first reason counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	l.failLocked(err)
	l.mu.Unlock()
	l.wake()
}

func (l *link) failLocked(err error) {
	if l.phase == closed {
		return
	}
	l.phase = closed
	if e := (*CloseError)(nil); errors.As(err, &e) {
		l.why = e
	} else {
		text := ""
		if err != nil {
			text = err.Error()
		}
		l.why = &CloseError{Why: Failed, Text: text}
	}
	if !l.why.Theirs && l.why.Why != Failed {
		l.bye = appendClose(nil, l.why.Why, l.why.Text)
	}
	l.cancel()
}

func (l *link) cause() *CloseError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

func (l *link) at() phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phase
}

// quietFor is how long nothing has been heard, though somebody listened.
func (l *link) quietFor(now time.Duration) time.Duration {
	if l.reading.Load() != 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return now - l.heard
}

// enter and leave are called around the handling of what was read: while that waits for publish credit, this side hears
// nothing and the other one is not silent.
func (l *link) enter(now time.Duration) { l.reading.Store(int64(now) + 1) }

func (l *link) leave(now time.Duration) {
	since := l.reading.Load()
	if since == 0 {
		return
	}
	waited := now - time.Duration(since-1)
	l.mu.Lock()
	l.heard = now
	l.waiting += waited // its answers have not been read
	l.mu.Unlock()
	if waited > tickEvery && l.origin != nil {
		l.origin.postpone(waited)
	}
	l.reading.Store(0)
}

// restless reports whether something is due soon: an ACK, or the end of a greeting.
func (l *link) restless() bool {
	return l.ackSince.Load() != 0 || l.reading.Load() != 0 || l.at() != up
}

// limit is the largest frame that may come now.
func (l *link) limit() int {
	if l.at() == greeting {
		return maxGreeting
	}
	return maxFrame
}

// handle takes one frame. An error ends the link, and has to be given to fail. It may wait for publish credit.
func (l *link) handle(now time.Duration, t frameType, body []byte) error {
	phase := l.at()
	switch {
	case t == typeClose:
		theirs, err := parseClose(body)
		if err != nil {
			return err
		}
		return theirs
	case phase == closed:
		return nil // whatever was under way
	case phase == greeting && t == typeHello:
		return l.greet(now, body)
	case phase == greeted && t == typeAck:
		return l.begin(now, body)
	case phase == up && (t != typeHello):
		return l.live(now, t, body)
	case phase != greeting && t.skippable():
		return nil
	}
	return &CloseError{Why: Broken, Text: fmt.Sprintf("frame %02x may not come now (%s)", uint8(t), phase)}
}

// greet takes the other side's HELLO.
func (l *link) greet(now time.Duration, body []byte) error {
	h, err := parseHello(body)
	if err != nil {
		return err
	}
	l.hello = h
	if l.dialled {
		if err := l.core.join(l, now); err != nil {
			return err
		}
	} else {
		err := l.core.admit(l, now)
		if e := (*CloseError)(nil); err == nil || errors.As(err, &e) && e.Why == Linked {
			l.say(l.core.hello(now, h.name).frame()) // then it knows whom it need not dial
		}
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	if l.phase == greeting {
		l.phase = greeted
	}
	l.mu.Unlock()
	l.say(appendSeq(nil, typeAck, l.holds(now)))
	return nil
}

// holds is the last batch that is held of the other side's life.
func (l *link) holds(now time.Duration) uint64 {
	if l.origin != nil {
		return l.origin.last.Load()
	}
	h := l.core.hello(now, l.hello.name)
	if h.lastOf != l.hello.life {
		return 0
	}
	return h.last
}

// begin takes the ACK that states what the other side holds.
func (l *link) begin(now time.Duration, body []byte) error {
	held, err := parseSeq(typeAck, body)
	if err != nil {
		return err
	}
	if !l.dialled {
		if err := l.core.join(l, now); err != nil {
			return err
		}
	}
	cursor, err := l.core.log.attach(l.hello.name, l.hello.life, held, now, l.wake)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if l.phase == closed {
		l.mu.Unlock()
		l.core.log.detach(cursor, now)
		return l.cause()
	}
	l.phase, l.cursor, l.beatAt = up, cursor, now
	l.mu.Unlock()
	l.wake()
	l.origin.resume(l, now)
	return nil
}

// live takes a frame of a link that is up.
func (l *link) live(now time.Duration, t frameType, body []byte) error {
	switch t {
	case typeBatch:
		return l.batch(now, body)
	case typeAck:
		return l.acked(now, body)
	case typeHeartbeat:
		return l.beat(body)
	case typeFetch:
		return l.ask(body)
	case typeFetched:
		q, kept, more, err := parseFetched(body, l.kept[:0])
		if err != nil {
			return err
		}
		l.kept = kept
		return l.origin.fetched(l.ctx, now, q, kept, more)
	case typeSkip:
		from, to, err := parseSkip(body)
		if err != nil {
			return err
		}
		return l.origin.skip(from, to)
	case typeTops:
		return l.origin.tops(l.ctx, now, body)
	case typeEnd:
		return l.end(now, body)
	case typeHello, typeClose: // handle has seen to them
	}
	if t.skippable() {
		return nil
	}
	return &CloseError{Why: Broken, Text: fmt.Sprintf("frame %02x is unknown", uint8(t))}
}

func (l *link) batch(now time.Duration, body []byte) error {
	l.member.tally.bytesIn.Add(uint64(len(body)))
	if err := l.origin.batch(l.ctx, now, body); err != nil {
		return err
	}
	if l.ackSince.CompareAndSwap(0, int64(now)+1) {
		l.unacked = 0
	}
	if l.unacked++; l.unacked >= ackEvery {
		l.acknowledge()
	}
	return nil
}

// acknowledge has the writer say ACK.
func (l *link) acknowledge() {
	l.ackSince.Store(0)
	l.mu.Lock()
	l.ackDue = true
	l.mu.Unlock()
	l.wake()
}

// beat answers a HEARTBEAT.
func (l *link) beat(body []byte) error {
	seq, err := parseSeq(typeHeartbeat, body)
	if err != nil {
		return err
	}
	if last := l.origin.last.Load(); seq > last {
		return &CloseError{Why: Broken, Text: fmt.Sprintf("it has sent batch %d, and %d is the last that came", seq, last)}
	}
	l.acknowledge()
	return nil
}

func (l *link) acked(now time.Duration, body []byte) error {
	seq, err := parseSeq(typeAck, body)
	if err != nil {
		return err
	}
	if !l.core.log.ack(l.cursor, seq, now) {
		return &CloseError{Why: Broken, Text: fmt.Sprintf("it acknowledges batch %d, which was not sent", seq)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = now // one that waits for publish credit says ACK too, of less
	if l.beating && seq >= l.beatSeq {
		l.beating = false
		l.delay = now - l.beatAt
	}
	return nil
}

// ask takes a question.
func (l *link) ask(body []byte) error {
	q, err := parseFetch(body)
	if err != nil {
		return err
	}
	q.tenant, q.topic = append([]byte(nil), q.tenant...), append([]byte(nil), q.topic...)
	after := l.core.log.edge()
	l.mu.Lock()
	full := len(l.asked) >= maxAsked
	if !full {
		l.asked = append(l.asked, question{q, after})
	}
	l.mu.Unlock()
	if full {
		return &CloseError{Why: Broken, Text: fmt.Sprintf("more than %d questions at once", maxAsked)}
	}
	l.wake()
	return nil
}

// end takes an END. Streams are never forgotten while their gateway lives, so that of one stream says nothing new.
func (l *link) end(now time.Duration, body []byte) error {
	_, leaving, err := parseEnded(body)
	if err != nil || !leaving {
		return err
	}
	l.origin.leave(now)
	return &CloseError{Why: Bye, Text: "it leaves"}
}
