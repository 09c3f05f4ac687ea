package secure

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// Gateways that share a secret resume one another's sessions while the
// ticket is good, whatever their clocks are apart by.
func TestTicketsAcrossGateways(t *testing.T) {
	boundary := someday.Truncate(ticketPeriod).Add(ticketPeriod)
	require.Zero(t, boundary.Unix()%int64(ticketPeriod/time.Second))
	for name, test := range map[string]struct {
		made, opened time.Time
		makes, opens [][]byte
		resumes      bool
	}{
		"same period":                  {someday, someday.Add(time.Minute), [][]byte{secret(1)}, [][]byte{secret(1)}, true},
		"one period later":             {someday, someday.Add(ticketPeriod), [][]byte{secret(1)}, [][]byte{secret(1)}, true},
		"two periods later":            {someday, someday.Add(2 * ticketPeriod), [][]byte{secret(1)}, [][]byte{secret(1)}, true},
		"three periods later":          {someday, someday.Add(3 * ticketPeriod), [][]byte{secret(1)}, [][]byte{secret(1)}, false},
		"an hour behind, other period": {boundary.Add(time.Minute), boundary.Add(-59 * time.Minute), [][]byte{secret(1)}, [][]byte{secret(1)}, true},
		"an hour ahead, other period":  {boundary.Add(-time.Minute), boundary.Add(59 * time.Minute), [][]byte{secret(1)}, [][]byte{secret(1)}, true},
		"another secret":               {someday, someday, [][]byte{secret(1)}, [][]byte{secret(2)}, false},
		"the old secret opens":         {someday, someday, [][]byte{secret(1)}, [][]byte{secret(2), secret(1)}, true},
		"only the first secret makes":  {someday, someday, [][]byte{secret(2), secret(1)}, [][]byte{secret(1)}, false},
		"no secrets":                   {someday, someday, nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			makes, opens := newSite(t, test.makes...), newSite(t, test.opens...)
			makes.now, opens.now = test.made, test.opened
			cfg := mutual(t, x25519())
			cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			cfg.Time = at(test.made)
			d := connect(t, makes.conn(), cfg)
			_, err := d.read(nil)
			require.NoError(t, err)
			if test.opened.After(test.made) {
				cfg.Time = at(test.opened)
			}
			var state tls.ConnectionState
			opens.verdict = func(s tls.ConnectionState) (*Proof, error) { state = s; return nil, nil }
			connect(t, opens.conn(), cfg)
			require.Equal(t, test.resumes, state.DidResume)
			require.Len(t, state.PeerCertificates, 1)
		})
	}
}

func TestTicketKeys(t *testing.T) {
	keys := ticketKeys([][]byte{secret(1), secret(2)}, someday)
	require.Len(t, keys, 8)
	seen := map[[32]byte]bool{{}: true}
	for _, key := range keys {
		require.False(t, seen[key])
		seen[key] = true
	}
	later := ticketKeys([][]byte{secret(1)}, someday.Add(ticketPeriod))
	require.Equal(t, keys[3], later[0], "what was next makes tickets now")
	require.Equal(t, keys[0], later[1])
	require.Equal(t, keys[1], later[2])
	require.Equal(t, keys, ticketKeys([][]byte{secret(1), secret(2)}, someday.Add(time.Hour)))
	require.Empty(t, ticketKeys(nil, someday))
	// Computed elsewhere from RFC 5869: gateways of different versions share a fleet.
	require.Equal(t, "17536e48024d840a6f40979ce024f07ad1609f0017438be4a741ca98ed38461e", hex.EncodeToString(keys[0][:]))
}

// Connections of a period share one config, and nobody waits for its successor.
func TestConfigOfNow(t *testing.T) {
	made := newTickets(serverConfig(nil, nil, nil), [][]byte{secret(1)})
	first := made.config(someday)
	require.Same(t, first, made.config(someday.Add(time.Hour)))
	next := made.config(someday.Add(ticketPeriod))
	require.NotSame(t, first, next)
	require.Zero(t, testing.AllocsPerRun(100, func() { made.config(someday.Add(ticketPeriod)) }))

	var together sync.WaitGroup
	for i := range 8 {
		together.Go(func() {
			for j := range 100 {
				require.NotNil(t, made.config(someday.Add(time.Duration(i*j)*time.Hour)))
			}
		})
	}
	together.Wait()
}
