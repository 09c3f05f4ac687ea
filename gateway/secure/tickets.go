package secure

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"
)

// ticketPeriod is how long one key makes session tickets. A ticket resumes in
// its own period and in the two that follow.
const ticketPeriod = 12 * time.Hour

// ticketKeys are the keys of now, the first of which makes tickets. They follow
// from the secrets and the clock alone, so the gateways of a fleet that have the
// same secrets open one another's tickets and change keys without talking. The
// key of the next period is among them for clocks that are behind.
//
// Who learns a key can read what it protects and no other key; who learns a
// secret has them all.
func ticketKeys(secrets [][]byte, now time.Time) [][32]byte {
	period := ticketPeriodOf(now)
	var keys [][32]byte
	for _, secret := range secrets {
		for _, ago := range []int64{0, 1, 2, -1} {
			keys = append(keys, ticketKey(secret, period-ago))
		}
	}
	return keys
}

// ticketKey is the key that a secret has in one period.
func ticketKey(secret []byte, period int64) [32]byte {
	key, err := hkdf.Key(sha256.New, secret, nil, fmt.Sprintf("bellwire ticket key %d", period), 32)
	if err != nil {
		// Of a secret that is too short for FIPS mode: a key that nobody knows.
		var unknown [32]byte
		_, _ = rand.Read(unknown[:]) // never fails
		return unknown
	}
	return [32]byte(key)
}

func ticketPeriodOf(now time.Time) int64 { return now.Unix() / int64(ticketPeriod/time.Second) }

// tickets gives out a tls.Config with the keys of now, without a timer: it makes
// a new one when it is asked in another period. Safe for concurrent use.
type tickets struct {
	base    *tls.Config
	secrets [][]byte
	current atomic.Pointer[datedConfig]
}

type datedConfig struct {
	period int64
	config *tls.Config
}

// newTickets keeps base and secrets. Without secrets it draws one, whose tickets
// no other process opens.
func newTickets(base *tls.Config, secrets [][]byte) *tickets {
	if len(secrets) == 0 {
		drawn := make([]byte, 32)
		_, _ = rand.Read(drawn) // never fails
		secrets = [][]byte{drawn}
	}
	return &tickets{base: base, secrets: secrets}
}

// config is the config of now. Connections share it, and keep theirs.
func (t *tickets) config(now time.Time) *tls.Config {
	period := ticketPeriodOf(now)
	if dated := t.current.Load(); dated != nil && dated.period == period {
		return dated.config
	}
	config := t.base.Clone()
	config.SetSessionTicketKeys(ticketKeys(t.secrets, now))
	// Several may get here at once: their keys are the same.
	t.current.Store(&datedConfig{period, config})
	return config
}
