package fanout_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/fanout"
)

// Any bytes as filter and topic: what matches is what the oracle says, whichever comes first, and nothing is left over.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"a/#", "a"},
		{"#", "$sys/a"},
		{"+/+", "/a"},
		{"a/#/b", "a/#/b"},
		{"", ""},
		{"+", ""},
		{"a//+", "a//"},
		{"\xff/+", "\xff/\x00"},
		{"a/+/#", "a/b/c/d"},
		{"$s/#", "$s"},
		{"+/b/#", "a/b"},
		{"/", "/"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		want := matches(filter, topic)
		require.Equal(t, want, joins(t, filter, topic, true))
		require.Equal(t, want, joins(t, filter, topic, false))
	})
}

// Any names: an index is a map with dense numbers.
func FuzzNames(f *testing.F) {
	f.Add("a", "b")
	f.Add("", "\x00")
	f.Add("0123456789012345678901234567890123456789012345678901234", "01234567890123456789012345678901234567890123456789012345")
	f.Add("01234567890123456789012345678901234567890123456789012345", "012345678901234567890123456789012345678901234567890123456")
	f.Fuzz(func(t *testing.T, a, b string) {
		x := newIndex(t, fanout.Config{})
		require.Nil(t, x.Lookup([]byte(a)))
		first := ensure(t, x, a)
		require.Equal(t, a, first.Name())
		if a != b {
			require.Nil(t, x.Lookup([]byte(b)))
			require.EqualValues(t, 2, ensure(t, x, b).ID())
		}
		require.Same(t, first, x.Lookup([]byte(a)))
		require.Same(t, first, ensure(t, x, a))
	})
}

// A stream of publishes, readers and time, against the oracle of rings.
func FuzzStream(f *testing.F) {
	f.Add([]byte{3, 5, 2, 7, 100, 7, 7, 7, 50, 1, 0, 2, 0, 0, 3, 2, 0, 5, 4, 0})
	f.Add([]byte{0, 0, 0, 6, 1, 6, 200, 2, 0, 2, 0, 4, 0})
	f.Fuzz(func(t *testing.T, history []byte) {
		if len(history) > 5000 {
			return
		}
		runStream(t, history)
	})
}

// A topic with streams of others, against the oracle of copies.
func FuzzCopies(f *testing.F) {
	f.Add([]byte{15, 20, 9, 1, 3, 5, 1, 9, 4, 1, 1, 1, 11, 1, 3, 5, 1, 10, 1, 8, 20, 2, 4, 7})
	f.Add(copiesHistory(3)[:200])
	f.Fuzz(func(t *testing.T, history []byte) {
		if len(history) < 3000 {
			require.Empty(t, runCopies(t, history, ""))
		}
	})
}

// Histories of subscribers that come and go, against the slow matcher.
func FuzzSubscribers(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { runHistory(t, rand.New(rand.NewPCG(a, b)), 100) })
}
