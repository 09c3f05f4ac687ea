package main

import (
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
	_, err = drained(linesOf(t.Context(), strings.NewReader(strings.Repeat("x", maxLine+1)), 0))
	require.ErrorContains(t, err, "too long")
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
	err = line.explain(&client.RefusedError{Code: wire.CodePayloadTooLarge}, 7)
	require.ErrorContains(t, err, "line 7: ")
	require.ErrorContains(t, err, "limits.frame")
	require.ErrorContains(t, line.explain(errCut, 3), "line 3: cut")
	other := &client.RefusedError{Code: wire.CodeNotGranted}
	require.Equal(t, other, once.explain(other, 1))
}
