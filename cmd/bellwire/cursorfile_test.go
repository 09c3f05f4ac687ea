package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

func place(topic string, life wire.Life, offset uint64) client.TopicPosition {
	return client.TopicPosition{Topic: topic, Position: wire.Position{Life: life, Offset: offset}}
}

func TestCursorFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "place.json")
	none, err := readCursor(path)
	require.NoError(t, err, "a file that is not there yet is an empty one")
	require.Empty(t, none)
	all := []client.TopicPosition{place("b", 2, 9), place("a/ü", 0xffffffffffffffff, wire.MaxVarint), place("b", 3, 0)}
	require.NoError(t, writeCursor(path, all))
	got, err := readCursor(path)
	require.NoError(t, err)
	require.Equal(t, all, got, "the order is kept: the topic of last is the last to be given up")
	require.NoError(t, writeCursor(path, nil))
	got, err = readCursor(path)
	require.NoError(t, err)
	require.Empty(t, got)
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")

	require.ErrorContains(t, writeCursor(filepath.Join(path, "x"), nil), "cannot write the cursor")
	_, err = readCursor(filepath.Dir(path))
	require.ErrorContains(t, err, "cannot read the cursor")
}

func TestWrongCursorFiles(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "EOF"},
		{"[]", "cannot unmarshal"},
		{`{"places":[]}`, "unknown field"},
		{`{"positions":[{"topic":"a/+","life":"0000000000000001","offset":1}]}`, "positions[0]"},
		{`{"positions":[{"topic":"a","life":"1","offset":1}]}`, "16 hexadecimal"},
		{`{"positions":[{"topic":"a","life":"000000000000000x","offset":1}]}`, "16 hexadecimal"},
		{`{"positions":[{"topic":"a","life":"0000000000000001","offset":-1}]}`, "cannot unmarshal"},
		{`{"positions":[{"topic":"a","life":"0000000000000001","offset":18446744073709551615}]}`, "larger than any"},
		{`{"positions":[]} more`, "more than one"},
	} {
		path := filepath.Join(t.TempDir(), "place.json")
		require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
		_, err := readCursor(path)
		require.ErrorContains(t, err, test.want, test.text)
		require.ErrorContains(t, err, "is not a cursor file", test.text)
		require.ErrorContains(t, err, path, test.text)
	}
}

// TestCursorFileKeepsItsMode: whoever was let read it, or kept from it, still is.
func TestCursorFileKeepsItsMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o640, 0o664} {
		path := filepath.Join(t.TempDir(), "place.json")
		require.NoError(t, writeCursor(path, nil))
		require.NoError(t, os.Chmod(path, mode))
		before, err := os.Stat(path) // not every system has all of a mode
		require.NoError(t, err)
		require.NoError(t, writeCursor(path, []client.TopicPosition{place("a", 1, 1)}))
		after, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, before.Mode(), after.Mode())
	}
}

// TestCursorFileIsCheckedAtStart: that the place cannot be kept is told before messages are printed, not after.
func TestCursorFileIsCheckedAtStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, in := range []string{filepath.Join(dir, "missing"), file} {
		require.ErrorContains(t, checkCursor(filepath.Join(in, "place.json")), "there is no directory "+in)
	}
	require.ErrorContains(t, checkCursor(dir), "cannot write the cursor")
	missing := filepath.Join(dir, "missing", "place.json")
	_, err := openCursor(missing, []string{"a"})
	require.ErrorContains(t, err, "there is no directory")
	require.Equal(t, exitFailed, codeOf(err))

	path := filepath.Join(dir, "place.json")
	_, err = openCursor(path, []string{"a"})
	require.NoError(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "to check leaves nothing, not even an empty file, which would be no cursor")
}

func FuzzCursor(f *testing.F) {
	for _, text := range []string{`{"positions":[]}`, `{"positions":[{"topic":"a","life":"0000000000000001","offset":1}]}`, `{}`, `{"positions":null}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		positions, err := parseCursor(text)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "place.json")
		require.NoError(t, writeCursor(path, positions))
		again, err := readCursor(path)
		require.NoError(t, err)
		require.ElementsMatch(t, positions, again)
	})
}

func TestCursorKeeperSharesTheFileOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "place.json")
	require.NoError(t, writeCursor(path, []client.TopicPosition{place("a/x", 1, 10), place("b", 1, 20), place("c", 1, 30)}))
	k, err := openCursor(path, []string{"a/#", "a/x", "b"})
	require.NoError(t, err)
	require.Equal(t, [][]client.TopicPosition{{place("a/x", 1, 10)}, {place("a/x", 1, 10)}, {place("b", 1, 20)}}, k.parts)
	require.Equal(t, []client.TopicPosition{place("c", 1, 30)}, k.other, "another run's")

	require.NoError(t, k.set(0, []client.TopicPosition{place("a/x", 1, 12), place("a/y", 1, 1)}))
	got, err := readCursor(path)
	require.NoError(t, err)
	require.Equal(t, []client.TopicPosition{place("c", 1, 30), place("a/x", 1, 10), place("a/y", 1, 1), place("b", 1, 20)}, got,
		"a/x is where the subscription is that is behind")
	require.NoError(t, k.set(1, []client.TopicPosition{place("a/x", 1, 13), place("a/x", 2, 1)}))
	got, err = readCursor(path)
	require.NoError(t, err)
	require.Contains(t, got, place("a/x", 1, 12))
	require.Contains(t, got, place("a/x", 2, 1), "lives count apart")
}
