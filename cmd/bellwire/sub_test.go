package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
)

func TestSubFilters(t *testing.T) {
	got, err := (&subCmd{Filters: []string{"a", "b/#", "a"}, Start: "now"}).filters()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b/#"}, got, "the same filter twice is one")
	for _, test := range []struct {
		sub  subCmd
		want string
	}{
		{subCmd{Filters: []string{"a/#/b"}, Start: "now"}, "# must be last"},
		{subCmd{Filters: []string{"a", "+"}, Start: "kept"}, "+ has a wildcard, which begins now"},
		{subCmd{Filters: []string{"a"}, Start: "now", Count: -1}, "--count"},
	} {
		_, err := test.sub.filters()
		require.ErrorContains(t, err, test.want)
	}
}

// TestSubOptionsAreAllKnown: kong lets only the words of the enums through, and each has a meaning.
func TestSubOptionsAreAllKnown(t *testing.T) {
	node := childOf(model(t), "sub")
	for _, flag := range node.Flags {
		switch flag.Name {
		case "start":
			require.Len(t, starts, len(flag.EnumSlice()))
			for _, word := range flag.EnumSlice() {
				require.Contains(t, starts, word)
			}
		case "policy":
			require.Len(t, policies, len(flag.EnumSlice()))
			for _, word := range flag.EnumSlice() {
				require.Contains(t, policies, word)
			}
		}
	}
	require.Len(t, (&subCmd{}).options("a", nil), 2)
	require.Len(t, (&subCmd{NoEcho: true}).options("a", []client.TopicPosition{place("a", 1, 1)}), 4)
	require.Len(t, (&subCmd{}).options("a", []client.TopicPosition{}), 2, "a topic that the file does not have begins as asked")
	require.Len(t, (&subCmd{}).options("a/#", nil), 2, "there is no cursor file")
	require.Len(t, (&subCmd{}).options("a/#", []client.TopicPosition{}), 3, "it was away, and has seen no topic yet")
}

// TestPrintingStopsAtTheCount: two subscriptions may have a message each for the last place.
func TestPrintingStopsAtTheCount(t *testing.T) {
	var out lockedBuffer
	s := &subscriber{printer: eventPrinter{format: formatText, out: &out, notes: &out}, counted: true, left: 2}
	gap := client.Gap{Topic: "a", Count: 1}
	message := client.Message{Topic: "a", Payload: []byte("x")}
	for _, step := range []struct {
		event   client.Event
		printed bool
		err     error
	}{
		{message, true, nil},
		{gap, true, nil},
		{message, true, errEnough},
		{message, false, errEnough},
		{gap, false, errEnough},
	} {
		printed, err := s.print("a", step.event)
		require.Equal(t, step.printed, printed)
		require.Equal(t, step.err, err)
	}
	require.Equal(t, "a x\nbellwire: gap: 1 of a missing (reason 0)\na x\n", out.String())
}
