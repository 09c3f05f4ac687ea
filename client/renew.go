package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/bellwire/bellwire/wire"
)

const (
	// renewSpread is the longest time that a renewal waits, so that a fleet whose
	// tokens were made together does not ask for new ones together.
	renewSpread = 30 * time.Second
	// renewLeast and renewMost bound the waits after a renewal that failed.
	renewLeast = time.Second
	renewMost  = 30 * time.Second
)

var errSameToken = errors.New("client: the token source has no newer token")

// checkToken says what is wrong with a token before a gateway has to.
func checkToken(token string) error {
	switch {
	case len(token) > wire.MaxAuth:
		return fmt.Errorf("client: the token has %d bytes, want at most %d", len(token), wire.MaxAuth)
	case !utf8.ValidString(token):
		return errors.New("client: the token is not UTF-8")
	}
	return nil
}

// credential is what HELLO proves the identity with; empty: the transport does.
func (c *Client) credential() (string, error) {
	switch {
	case c.opts.source != nil:
		return c.freshToken(c.ctx)
	case c.opts.token != "":
		return c.opts.token, nil
	}
	return c.opts.device, nil
}

// freshToken asks the source.
func (c *Client) freshToken(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	token, err := c.opts.source(ctx)
	if err != nil {
		return "", fmt.Errorf("client: asking the source for a token: %w", err)
	}
	if token == "" {
		return "", errors.New("client: the token source gave an empty token")
	}
	return token, checkToken(token)
}

// expiring is told that the token in force ends after a time [W-3.3]; the lock is
// held. One goroutine of the connection renews, and only once this was told.
func (k *conn) expiring(left time.Duration) {
	switch {
	case k.client.opts.source == nil:
		k.client.opts.logger.Warn("the token ends soon, and there is no source of another", "server", k.addr, "left", left)
		return
	case k.ends == nil:
		k.ends = make(chan time.Time, 1)
		k.helpers.Go(k.renewals)
	}
	k.forgetEnd()
	k.ends <- time.Now().Add(left)
}

// forgetEnd takes back what expiring was told, if nobody has begun on it.
func (k *conn) forgetEnd() {
	select {
	case <-k.ends:
	default:
	}
}

// renewals renews whenever the time is running out, until the connection ends or the
// gateway says that it takes no tokens.
func (k *conn) renewals() {
	for {
		select {
		case end := <-k.ends:
			if !k.renew(end) {
				return
			}
		case <-k.ctx.Done():
			return
		}
	}
}

// renew tries until the token ends; what follows then is the gateway's CLOSE. It is
// false if trying again has no use.
func (k *conn) renew(end time.Time) bool {
	log := k.client.opts.logger.With("server", k.addr)
	pause := time.Duration(rand.Float64() * float64(min(time.Until(end)/4, renewSpread)))
	for wait(k.ctx, pause) {
		err := k.offer()
		var refused *RefusedError
		switch {
		case err == nil:
			log.Info("token renewed")
			return true
		case k.ctx.Err() != nil || errors.Is(err, ErrClosed):
			return false
		case errors.As(err, &refused) && refused.Code.Class() == wire.ClassNotThis:
			log.Warn("the gateway does not renew tokens", "error", err)
			return false
		}
		left := time.Until(end)
		log.Warn("cannot renew the token", "error", err, "left", left)
		if left <= 0 {
			return true
		}
		pause = min(max(left/4, renewLeast), renewMost)
		pause -= time.Duration(rand.Float64() * float64(pause) / 2)
	}
	return false
}

// offer sends a new token and waits for the answer.
func (k *conn) offer() error {
	c := k.client
	token, err := c.freshToken(k.ctx)
	if err != nil {
		return err
	}
	if token == k.token {
		return errSameToken
	}
	k.token = token // also if it is refused: it will be again
	answer := make(chan error, 1)
	c.mu.Lock()
	if k.bye {
		c.mu.Unlock()
		return ErrClosed
	}
	k.session.offer(token, answer)
	k.forgetEnd() // it was about the token before
	k.poke()
	c.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-k.ctx.Done():
		return k.ctx.Err()
	}
}

// offer sends a new token; what the gateway says of it comes on answer, which has
// room for one.
func (s *session) offer(token string, answer chan<- error) {
	s.offered = answer
	s.pending = wire.Auth{Method: wire.AuthToken, Data: []byte(token)}.Append(s.pending)
}

// answerOffer tells what the gateway said of a new token.
func (s *session) answerOffer(err error) {
	s.offered <- err
	s.offered = nil
}

func (s *session) onAuth(f wire.Auth) error {
	seconds, ok := f.Left()
	switch {
	case !ok: // of no use here
	case s.offered != nil:
		s.answerOffer(nil)
	default:
		s.expiring, s.left = true, time.Duration(seconds)*time.Second
	}
	return nil
}
