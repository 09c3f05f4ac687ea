package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArgumentsAreText: nothing is published in the place of bytes that the command line cannot carry.
func TestArgumentsAreText(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"pub", "--server", "127.0.0.1:1", "broadcast/bin", "\xff\xfe"}, `argument 5, "\xff\xfe", is not valid UTF-8`},
		{[]string{"pub", "broadcast/\xc3", "x"}, `argument 2, "broadcast/\xc3", is not valid UTF-8`},
		{[]string{"sub", "--cursor=\x80", "a"}, `argument 2, "--cursor=\x80", is not valid UTF-8`},
		{[]string{"version", "ü", "\xed\xa0\x80"}, "argument 3,"},
	} {
		var out, notes bytes.Buffer
		code := run(test.args, &env{getenv: getenvOf(nil), stdin: strings.NewReader(""), stdout: &out, stderr: &notes})
		require.Equal(t, exitUsage, code, "%q", test.args)
		require.Empty(t, out.String())
		require.Contains(t, notes.String(), test.want)
		require.Contains(t, notes.String(), "with - in its place")
	}
	require.NoError(t, checkText([]string{"pub", "broadcast/ü", "漢 \ufffd"}), "a replacement character is a character")
}
