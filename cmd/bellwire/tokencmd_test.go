package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/secure"
)

// inspected runs token inspect on a standard input.
func inspected(stdin string, args ...string) (exitCode, string, string) {
	var out, errs bytes.Buffer
	e := &env{getenv: getenvOf(nil), stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, terminal: func(io.Writer) bool { return false }}
	code := run(append([]string{"token", "inspect"}, args...), e)
	return code, out.String(), errs.String()
}

func TestTokenCommands(t *testing.T) {
	dir := t.TempDir()
	require.Regexp(t, `^token key [0-9a-f]{16}: token.pub.pem, token-key.pem \(secret\)\n`, ranIn(t, dir, "token", "key"))
	failed(t, exitFailed, "is there already", "token", "key")
	token := ranIn(t, dir, "token", "issue", "acme/kitchen", "--for", "2d", "--publish", "broadcast/{tenant}/#,a", "--publish", `b\,c`, "--subscribe", "d", "--id", "t-1")
	require.Regexp(t, `^[A-Za-z0-9_.-]+\n$`, token, "nothing but the token")

	trust, err := newTrust(trustPaths{TokenKeys: []string{"acme=token.pub.pem"}})
	require.NoError(t, err)
	p, err := trust.Token([]byte(strings.TrimSpace(token)))
	require.NoError(t, err)
	require.Equal(t, "acme/kitchen", p.Identity.String())
	require.Equal(t, []string{"broadcast/acme/#", "a", "b,c"}, p.Publish)
	require.Equal(t, []string{"d"}, p.Subscribe)
	require.WithinDuration(t, time.Now().Add(2*day), p.Expires, time.Minute)
	p, err = trust.Token([]byte(strings.TrimSpace(ranIn(t, dir, "token", "issue", "acme/kitchen"))))
	require.NoError(t, err)
	require.False(t, p.Limited)
	require.WithinDuration(t, time.Now().Add(day), p.Expires, time.Minute, "a day unless said")

	all, err := newTrust(trustPaths{TokenKeys: []string{"token.pub.pem"}})
	require.NoError(t, err)
	admin, err := all.Admin([]byte(strings.TrimSpace(ranIn(t, dir, "token", "issue", "--admin", "*", "anna"))))
	require.NoError(t, err)
	require.Equal(t, "anna", admin.Name)
	require.Empty(t, admin.Tenant)

	code, stdout, stderr := inspected(token, "--key", "token.pub.pem")
	require.Equal(t, exitDone, code, stderr)
	require.Regexp(t, `(?m)^device +acme/kitchen$`, stdout)
	require.Regexp(t, `(?m)^publish +broadcast/\{tenant\}/#  a  b,c$`, stdout)
	require.Regexp(t, `(?m)^expires +.* \(in 47h59m\)$`, stdout)
	require.Regexp(t, `(?m)^signature +good, by token.pub.pem$`, stdout)
	code, stdout, _ = inspected("", strings.TrimSpace(token), "--json")
	require.Equal(t, exitDone, code)
	var view tokenViewJSON
	require.NoError(t, json.Unmarshal([]byte(stdout), &view))
	require.Equal(t, "unchecked", view.Signature)
	require.Equal(t, "t-1", view.ID)
	require.False(t, view.Expired)
}

func TestTokenInspectJudges(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "token", "key")
	ranIn(t, dir, "token", "key", "--dir", "other")
	token := ranIn(t, dir, "token", "issue", "acme/kitchen", "--key", "other/token-key.pem")
	code, stdout, stderr := inspected(token, "--key", "token.pub.pem")
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `(?m)^signature +BAD: not by token.pub.pem$`, stdout)
	require.Contains(t, stderr, "do not believe")
	code, _, stderr = inspected(token, "--key", "token-key.pem")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "is the private key")
	code, _, stderr = inspected(" \n")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "no token")
	code, _, stderr = inspected("x.y.z")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "not a JWT")
	code, _, stderr = inspected(token, "--key", "missing.pem")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "--key: missing.pem cannot be read")
}

// TestTokenOnATerminal: a token may be anyone's, and its texts anything.
func TestTokenOnATerminal(t *testing.T) {
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	view := tokenView{secure.Claims{
		Subject: "anna\x1b[2J", Admin: "acme\u202e", Expires: now.Add(-time.Hour), NotBefore: now.Add(time.Hour), ID: "a\nb",
	}, "k\x07", signatureUnknown, now}
	require.NoError(t, view.table(&out, ""))
	require.Equal(t, `person            anna\x1b[2J
may see           tenant acme\u202e
expired           2026-06-15T11:00:00Z (1h ago)
not valid before  2026-06-15T13:00:00Z (in 1h)
id                a\nb
key               k\x07
signature         not checked: name the public key with --key
`, out.String())
	out.Reset()
	view.Claims = secure.Claims{Subject: "acme/kitchen", Expires: now.Add(time.Hour), Limited: true, Publish: []string{"a\u200b"}}
	require.NoError(t, view.table(&out, ""))
	require.Contains(t, out.String(), `a\u200b`)
	require.Regexp(t, `(?m)^subscribe +nothing$`, out.String())
}

func TestTokenIssueChecks(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "token", "key")
	for _, test := range []struct {
		code exitCode
		text string
		args []string
	}{
		{exitUsage, "want tenant/device", []string{"kitchen"}},
		{exitUsage, "filters", []string{"acme/kitchen", "--publish", "a/#/b"}},
		{exitUsage, "fewer or shorter", []string{"acme/kitchen", "--publish", strings.Repeat("x", 250) + "," + strings.Repeat("y", 250) + "," + strings.Repeat("z", 250)}},
		{exitUsage, "not for a person", []string{"anna", "--admin", "*", "--publish", "a"}},
		{exitUsage, "nor a tenant", []string{"anna", "--admin", "a b"}},
		{exitUsage, "has to end", []string{"anna", "--admin", "*", "--static"}},
		{exitUsage, "no end", []string{"acme/kitchen", "--static", "--for", "1h"}},
		{exitUsage, "no name", []string{"acme/kitchen", "--static", "--id", "x"}},
		{exitUsage, "spaces", []string{"acme/kitchen", "--static", "--publish", "a b"}},
		{exitUsage, "time to live", []string{"acme/kitchen", "--for", "tomorrow"}},
		{exitFailed, "`bellwire token key` makes one", []string{"acme/kitchen", "--key", "missing"}},
		{exitFailed, "no private key in it", []string{"acme/kitchen", "--key", "token.pub.pem"}},
	} {
		if test.text == "no private key in it" {
			require.NoError(t, os.Chmod("token.pub.pem", 0o600)) // else that is refused first
		}
		failed(t, test.code, test.text, append([]string{"token", "issue"}, test.args...)...)
	}
	require.NoFileExists(t, "static.keys")
}

func TestStaticKeyCommand(t *testing.T) {
	dir := t.TempDir()
	first := strings.TrimSpace(ranIn(t, dir, "token", "issue", "--static", "acme/kitchen"))
	content, err := os.ReadFile("static.keys")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("static.keys", []byte("# by hand\n"+strings.TrimSpace(string(content))), 0o600), "without a line's end")
	second := strings.TrimSpace(ranIn(t, dir, "token", "issue", "--static", "acme/hall", "--publish", "a/{device}", "--file", "static.keys"))
	content, err = os.ReadFile("static.keys")
	require.NoError(t, err)
	require.NotContains(t, string(content), first)
	require.NotContains(t, string(content), second)

	trust, err := newTrust(trustPaths{Static: "static.keys"})
	require.NoError(t, err)
	p, err := trust.Token([]byte(first))
	require.NoError(t, err)
	require.Equal(t, "acme/kitchen", p.Identity.String())
	p, err = trust.Token([]byte(second))
	require.NoError(t, err)
	require.Equal(t, []string{"a/hall"}, p.Publish)

	require.NoError(t, os.WriteFile("static.keys", []byte("nonsense\n"), 0o600))
	failed(t, exitFailed, "static.keys: line 1: ", "token", "issue", "--static", "acme/x")
}
