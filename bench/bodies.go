package bench

import (
	"fmt"
	"math/rand/v2"
)

// What payloads consist of, behind the number of the message.
const (
	bodyRandom = "random" // bytes that do not compress
	bodyJSON   = "json"   // readings of a machine, as backends write them
)

// bodies are what payloads may consist of.
func bodies() []string { return []string{bodyRandom, bodyJSON} }

// differentBodies is how many messages there are before a body comes again: more
// than a batch between servers holds, so that it cannot be found a second time.
const differentBodies = 8192

// bodiesOf are payloads of one size; nil: all messages have the same.
func bodiesOf(kind string, size int) [][]byte {
	if kind == "" {
		return nil
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same ones in every run
	all := make([][]byte, differentBodies)
	for i := range all {
		all[i] = make([]byte, size)
		if kind == bodyJSON {
			fillReadings(all[i][min(sequenceLen, size):], random)
			continue
		}
		for k := range all[i] {
			all[i][k] = byte(random.Uint32())
		}
	}
	return all
}

// fillReadings fills b with JSON, which is cut at its end.
func fillReadings(b []byte, random *rand.Rand) {
	var text []byte
	for len(text) < len(b) {
		text = fmt.Appendf(text, `{"id":"press-%02d","temp":%.2f,"rpm":%d,"ok":true,"load":%.3f}`,
			random.IntN(40), 20+60*random.Float64(), 1400+random.IntN(200), random.Float64())
	}
	copy(b, text)
}

// body is the payload of a message of a topic, but for its number.
func (t *tally) body(topic int32, number uint64) []byte {
	if len(t.bodies) == 0 {
		return t.payload
	}
	nth := number*uint64(len(t.topics)) + uint64(topic) //nolint:gosec // an index
	return t.bodies[nth%uint64(len(t.bodies))]
}
