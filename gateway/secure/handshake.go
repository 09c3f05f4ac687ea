package secure

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
)

const (
	// maxHandshake bounds the bytes that a handshake reads, and those that wait.
	maxHandshake = 32 << 10
	// helloPiece is the payload of the records that a hello is cut into.
	helloPiece = 512
)

var errFlood = errors.New("secure: more bytes than a handshake has")

// handshake is what a Conn holds only until its handshake is over: the bytes on
// their way to it, and what it waits for.
type handshake struct {
	wake chan struct{} // fed or flooded has changed

	mu      sync.Mutex
	fed     []byte // not read yet
	flooded bool   // fed is not all that came

	// Of the goroutine of the handshake.
	ctx    context.Context
	gate   Gate
	send   func([]byte)
	inside bool  // of the gate
	in     inlet // one record, or the pieces of one
	taken  int   // bytes of fed that were read
}

func newHandshake() *handshake { return &handshake{wake: make(chan struct{}, 1)} }

func (h *handshake) feed(b []byte) {
	h.mu.Lock()
	if len(h.fed)+len(b) > maxHandshake {
		h.flooded = true
	} else {
		h.fed = append(h.fed, b...)
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default: // it will look at all of it
	}
}

// left is what was fed and not read when the handshake was over.
func (h *handshake) left() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flooded {
		return nil, errFlood
	}
	return h.fed, nil
}

// read waits for a whole record, outside of the gate, and gives it out inside.
func (h *handshake) read(b []byte) (int, error) {
	if len(h.in.b) == 0 {
		record, err := h.next()
		if err != nil {
			return 0, err
		}
		h.in.b = cutHello(record)
	}
	return h.in.read(b), nil
}

// next waits for a whole record and for the gate.
func (h *handshake) next() ([]byte, error) {
	for {
		if h.ctx.Err() != nil {
			return nil, context.Cause(h.ctx)
		}
		record, err := h.take()
		if err != nil {
			return nil, err
		}
		if record != nil {
			return record, h.enter()
		}
		h.leave()
		select {
		case <-h.wake:
		case <-h.ctx.Done():
		}
	}
}

// take is the next record, nil if it is not whole yet.
func (h *handshake) take() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := recordSize(h.fed)
	if h.taken == 0 && len(h.fed) > 0 && h.fed[0] != recordHandshake && h.fed[0] != recordAlert {
		n = recordHeader // at which crypto/tls sees that it is not TLS, and whose length means nothing
	}
	if h.flooded || h.taken+n > maxHandshake {
		return nil, errFlood
	}
	if n > len(h.fed) {
		return nil, nil
	}
	record := h.fed[:n]
	if h.fed = h.fed[n:]; len(h.fed) == 0 {
		h.fed = nil // it waits for the device now, perhaps for seconds
	}
	h.taken += n
	return record, nil
}

// cutHello cuts a plain handshake record, so a ClientHello, into short ones, as
// its sender may have done: nothing of TLS depends on it. crypto/tls keeps two
// buffers that grow with the hello, one by its longest record.
func cutHello(record []byte) []byte {
	if record[0] != recordHandshake || len(record) <= recordHeader+helloPiece {
		return record
	}
	cut := make([]byte, 0, len(record)+recordHeader*(len(record)/helloPiece))
	for payload := record[recordHeader:]; len(payload) > 0; {
		n := min(helloPiece, len(payload))
		cut = append(cut, record[:recordHeader-2]...)
		cut = binary.BigEndian.AppendUint16(cut, uint16(n))
		cut = append(cut, payload[:n]...)
		payload = payload[n:]
	}
	return cut
}

func (h *handshake) write(b []byte) (int, error) {
	if h.ctx.Err() != nil {
		return 0, context.Cause(h.ctx)
	}
	h.send(b)
	return len(b), nil
}

func (h *handshake) enter() error {
	if h.inside || h.gate == nil {
		return nil
	}
	err := h.gate.Enter(h.ctx)
	h.inside = err == nil
	return err
}

func (h *handshake) leave() {
	if h.inside {
		h.inside = false
		h.gate.Leave()
	}
}
