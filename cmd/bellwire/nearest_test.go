package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// slowDistance is the definition of the edit distance.
func slowDistance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	if a[0] == b[0] {
		return slowDistance(a[1:], b[1:])
	}
	return 1 + min(slowDistance(a[1:], b), slowDistance(a, b[1:]), slowDistance(a[1:], b[1:]))
}

func TestEditDistanceIsTheDefinition(t *testing.T) {
	words := []string{"", "a", "ab", "ba", "abc", "frame", "fram", "farme", "limits", "limit"}
	for _, a := range words {
		for _, b := range words {
			require.Equal(t, slowDistance(a, b), editDistance(a, b), "%q %q", a, b)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for unknown, want := range map[string]string{
		"lisen":               ": is listen meant?",
		"limits.frames":       ": is limits.frame meant?",
		"drain.within_time":   ": is drain.within meant?",
		"replay":              ": is limits.replay meant?",
		"limits.publish-rate": ": is limits.publish_rate meant?",
		"log.lvl":             ": is log.level meant?",
		"something.else":      ": `bellwire config init` lists them all",
	} {
		require.Equal(t, want, didYouMean(unknown), unknown)
	}
}
