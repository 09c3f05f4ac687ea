package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// drained is all that a source hands out.
func drained(s source) (all []string, err error) {
	for {
		payload, more, err := s()
		if err != nil || !more {
			return all, err
		}
		all = append(all, string(payload))
	}
}

func TestLines(t *testing.T) {
	for _, test := range []struct {
		text string
		most int
		want []string
	}{
		{"", 0, nil},
		{"one", 0, []string{"one"}},
		{"one\n", 0, []string{"one"}},
		{"one\n\ntwo\r\nthree", 0, []string{"one", "", "two", "three"}},
		{"one\ntwo\nthree\n", 2, []string{"one", "two"}},
		{"one\n", 2, []string{"one"}},
		{strings.Repeat("x", 70_000) + "\ny", 0, []string{strings.Repeat("x", 70_000), "y"}},
	} {
		for _, r := range []io.Reader{strings.NewReader(test.text), iotest.OneByteReader(strings.NewReader(test.text))} {
			got, err := drained(linesOf(t.Context(), r, test.most))
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		}
	}
}

func TestLinesThatCannotBeRead(t *testing.T) {
	got, err := drained(linesOf(t.Context(), io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(errors.New("torn"))), 0))
	require.Equal(t, []string{"one"}, got)
	require.ErrorContains(t, err, "torn")
}

// TestLongLines: a line that no gateway takes costs only itself.
func TestLongLines(t *testing.T) {
	fits, long := strings.Repeat("x", maxLine-1), strings.Repeat("y", maxLine)
	next := linesOf(t.Context(), strings.NewReader(long+"\n"+fits+"\n"+long+long+"\nlast\n"+long+"y"), 0)
	for i, want := range []string{"", fits, "", "last", ""} {
		payload, more, err := next()
		require.True(t, more)
		if want == "" {
			require.ErrorIs(t, err, errLongLine, "line %d", i+1)
			require.True(t, tooLarge(err))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, string(payload))
	}
	_, more, err := next()
	require.NoError(t, err)
	require.False(t, more)
}

func TestLeftOut(t *testing.T) {
	var notes bytes.Buffer
	left := leftOut{notes: &notes}
	require.NoError(t, left.err())
	left.out(errors.New("line 3: too large"))
	require.EqualError(t, left.err(), "1 line was too large and was not published")
	left.out(errors.New("line 7: too large"))
	require.EqualError(t, left.err(), "2 lines were too large and were not published")
	require.Equal(t, "bellwire: left out: line 3: too large\nbellwire: left out: line 7: too large\n", notes.String())
}

func TestLinesEndWithTheContext(t *testing.T) {
	silent, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	next := linesOf(ctx, silent, 0)
	cancel()
	_, _, err := next()
	require.ErrorIs(t, err, context.Canceled, "though the reader still blocks")
}

func TestRepeated(t *testing.T) {
	for count, want := range map[int]int{0: 1, 1: 1, 3: 3} {
		got, err := drained((&pubCmd{Payload: "x", Count: count}).repeated())
		require.NoError(t, err)
		require.Len(t, got, want)
	}
}

func TestPubChecks(t *testing.T) {
	for _, test := range []struct {
		pub  pubCmd
		want string
	}{
		{pubCmd{Topic: "a"}, ""},
		{pubCmd{Topic: "a", Count: 5, Rate: 0.5}, ""},
		{pubCmd{Topic: "a/#"}, "wildcard"},
		{pubCmd{Topic: "$own"}, "gateway's own"},
		{pubCmd{Topic: "a", Count: -1}, "--count"},
		{pubCmd{Topic: "a", Rate: -1}, "--rate"},
		{pubCmd{Topic: "a", Rate: math.NaN()}, "--rate"},
	} {
		err := test.pub.check()
		if test.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, test.want)
		}
	}
}

func TestRefusalsSayWhatWouldDo(t *testing.T) {
	line := &pubCmd{Payload: standardInput}
	once := &pubCmd{Payload: "x"}
	err := once.explain(&client.RefusedError{Code: wire.CodeNoCentral, What: "publishing on a"}, 1)
	require.ErrorContains(t, err, "no central here")
	require.ErrorContains(t, err, "broadcast/#")
	require.NotContains(t, err.Error(), "line")
	err = once.explain(&client.RefusedError{Code: wire.CodeNoCentral, What: "publishing on a", Text: "broadcast topics: alerts/#"}, 1)
	require.ErrorContains(t, err, "alerts/#")
	require.NotContains(t, err.Error(), "broadcast/#", "the gateway said which filters it has")
	err = line.explain(&client.RefusedError{Code: wire.CodePayloadTooLarge}, 7)
	require.ErrorContains(t, err, "line 7: ")
	require.ErrorContains(t, err, "limits.frame")
	require.ErrorContains(t, line.explain(errCut, 3), "line 3: cut")
	other := &client.RefusedError{Code: wire.CodeNotGranted}
	require.Equal(t, other, once.explain(other, 1))
}
