package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/secure"
)

// ranIn runs a command line that must succeed, in a directory of its own test.
func ranIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	t.Chdir(dir)
	code, stdout, stderr := ran(nil, args...)
	require.Equal(t, exitDone, code, "%s: %s", strings.Join(args, " "), stderr)
	return stdout
}

// failed runs one that must not.
func failed(t *testing.T, code exitCode, text string, args ...string) {
	t.Helper()
	got, stdout, stderr := ran(nil, args...)
	require.Equal(t, code, got, "%s: %s", strings.Join(args, " "), stderr)
	require.Contains(t, stderr, text, strings.Join(args, " "))
	require.Empty(t, stdout)
}

func certificateIn(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	all, err := secure.ParseCertificates(content)
	require.NoError(t, err)
	return all[0]
}

// TestThreeCommands: a newcomer's way to certificates on both sides, as MS-17 wants them.
func TestThreeCommands(t *testing.T) {
	dir := t.TempDir()
	var printed strings.Builder
	printed.WriteString(ranIn(t, dir, "cert", "ca"))
	printed.WriteString(ranIn(t, dir, "cert", "issue", "--gateway", "gw.example,127.0.0.1"))
	printed.WriteString(ranIn(t, dir, "cert", "issue", "acme/kitchen"))

	trust, err := newTrust(trustPaths{Certificate: "gateway.pem", Key: "gateway-key.pem", DeviceCA: []string{"acme=ca.pem"}, Mapping: secure.DefaultMapping})
	require.NoError(t, err)
	require.True(t, trust.HasTLS())
	require.True(t, trust.ProvesDevices())
	require.Empty(t, trust.Warnings())
	_, err = tls.LoadX509KeyPair("kitchen.pem", "kitchen-key.pem")
	require.NoError(t, err)
	device := certificateIn(t, "kitchen.pem")
	require.Equal(t, "bellwire://acme/kitchen", device.URIs[0].String())
	require.WithinDuration(t, time.Now().Add(365*day), device.NotAfter, time.Minute)
	pool := x509.NewCertPool()
	pool.AddCert(certificateIn(t, "ca.pem"))
	_, err = certificateIn(t, "gateway.pem").Verify(x509.VerifyOptions{Roots: pool, DNSName: "gw.example"})
	require.NoError(t, err)

	for _, name := range []string{"ca-key.pem", "gateway-key.pem", "kitchen-key.pem"} {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
			require.NotContains(t, printed.String(), line, "a private key is never printed")
		}
		info, err := os.Stat(name)
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.EqualValues(t, 0o600, info.Mode().Perm(), name)
		}
	}
}

func TestCertFilesAreNotWrittenOver(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "cert", "ca")
	ranIn(t, dir, "cert", "issue", "acme/kitchen")
	before := map[string]string{}
	for _, name := range []string{"ca.pem", "ca-key.pem", "kitchen.pem", "kitchen-key.pem"} {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		before[name] = string(content)
	}
	failed(t, exitFailed, "is there already", "cert", "ca")
	failed(t, exitFailed, "kitchen-key.pem is there already", "cert", "issue", "acme/hall", "acme/kitchen")
	require.NoFileExists(t, "hall.pem", "all or none")
	require.NoFileExists(t, "hall-key.pem")
	require.NoError(t, os.Rename("kitchen-key.pem", "elsewhere"))
	failed(t, exitFailed, "kitchen.pem is there already", "cert", "issue", "beta/kitchen")
	require.NoFileExists(t, "kitchen-key.pem")
	require.NoError(t, os.Rename("elsewhere", "kitchen-key.pem"))
	failed(t, exitFailed, "ca-key.pem is there already", "cert", "issue", "acme/ca")
	for name, want := range before {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(content), name)
	}
}

func TestCertIssueFlags(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "cert", "ca", "--dir", "pki/ca", "--title", "Acme", "--for", "30d")
	require.Regexp(t, `^Acme [0-9a-f]{8}$`, certificateIn(t, "pki/ca/ca.pem").Subject.CommonName)
	out := ranIn(t, dir, "cert", "issue", "acme/a", "acme/b", "--ca", "pki/ca/ca.pem", "--ca-key", "pki/ca/ca-key.pem", "--dir", "out", "--for", "90m", "--json")
	var all []made
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 2)
	require.Equal(t, "device acme/b", all[1].For)
	require.Equal(t, filepath.Join("out", "b.pem"), all[1].File)
	require.Equal(t, filepath.Join("out", "b-key.pem"), all[1].Secret)
	require.Equal(t, certificateIn(t, all[1].File).SerialNumber.Text(16), all[1].Serial)
	require.WithinDuration(t, time.Now().Add(90*time.Minute), all[1].Expires, time.Minute)
	ranIn(t, dir, "cert", "issue", "acme/c", "--dir", "pki/ca", "--for", "1h", "--out", "stove")
	require.FileExists(t, "pki/ca/stove.pem")

	for _, test := range []struct {
		code exitCode
		text string
		args string
	}{
		{exitUsage, "for whom?", "cert issue"},
		{exitUsage, "not for both", "cert issue acme/x --gateway gw"},
		{exitUsage, "--out", "cert issue acme/x acme/y --out z"},
		{exitUsage, "--dir", "cert issue acme/x --out a/z"},
		{exitUsage, "want tenant/device", "cert issue kitchen"},
		{exitUsage, "lower case", "cert issue ACME/x --dir pki/ca --for 1h"},
		{exitUsage, "without port", "cert issue --gateway gw.example:7315 --dir pki/ca --for 1h"},
		{exitUsage, "the CA only until", "cert issue acme/x --dir pki/ca --for 31d"},
		{exitUsage, "time to live", "cert ca --for 30"},
		{exitUsage, "name", "cert ca --dir other --title=" + strings.Repeat("x", 49)},
		{exitFailed, "`bellwire cert ca` makes one", "cert issue acme/x"},
		{exitFailed, "not that of the certificate", "cert issue acme/x --ca pki/ca/ca.pem --ca-key pki/ca/stove-key.pem"},
		{exitFailed, "not that of a CA", "cert issue acme/x --ca pki/ca/stove.pem --ca-key pki/ca/stove-key.pem"},
	} {
		failed(t, test.code, test.text, strings.Fields(test.args)...)
	}
}

// TestOpenSecretsAreRefused: a CA whose key anyone can read is nobody's.
func TestOpenSecretsAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	dir := t.TempDir()
	ranIn(t, dir, "cert", "ca")
	require.NoError(t, os.Chmod("ca-key.pem", 0o644))
	failed(t, exitFailed, "run chmod 0600 ca-key.pem", "cert", "issue", "acme/x")
	require.NoError(t, os.Chmod("ca-key.pem", 0o640))
	ranIn(t, dir, "cert", "issue", "acme/x")
}

// TestVariablesOfOtherCommands: --gateway and --admin are flags of other commands too, and mean something else there.
func TestVariablesOfOtherCommands(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "cert", "ca")
	ranIn(t, dir, "token", "key")
	code, _, stderr := ran(map[string]string{"BELLWIRE_GATEWAY": "/usr/bin/bellwire serve"}, "cert", "issue", "acme/kitchen")
	require.Equal(t, exitDone, code, stderr)
	code, stdout, stderr := ran(map[string]string{"BELLWIRE_ADMIN": "127.0.0.1:7312"}, "token", "issue", "acme/kitchen")
	require.Equal(t, exitDone, code, stderr)
	claims, _, err := secure.ReadToken([]byte(strings.TrimSpace(stdout)))
	require.NoError(t, err)
	require.Empty(t, claims.Admin)
}

func TestCertRevoke(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "cert", "ca")
	ranIn(t, dir, "cert", "issue", "acme/a", "acme/b")
	require.Contains(t, ranIn(t, dir, "cert", "revoke"), "list of 0 revoked certificates: crl.pem")
	require.Contains(t, ranIn(t, dir, "cert", "revoke", "a.pem"), "list of 1 ")
	require.NoError(t, os.Chmod("crl.pem", 0o664))
	serial := certificateIn(t, "b.pem").SerialNumber.Text(16)
	require.Contains(t, ranIn(t, dir, "cert", "revoke", serial, "a.pem"), "list of 2 ")
	lists, err := readLists("crl.pem")
	require.NoError(t, err)
	require.Len(t, lists[0].RevokedCertificateEntries, 2)
	require.EqualValues(t, 3, lists[0].Number.Int64())
	trust, err := newTrust(trustPathsOf(t, dir))
	require.NoError(t, err)
	require.Empty(t, trust.Warnings())

	ranIn(t, dir, "cert", "ca", "--dir", "other")
	ranIn(t, dir, "cert", "issue", "acme/c", "--dir", "other")
	failed(t, exitFailed, "was not issued by ca.pem", "cert", "revoke", "other/c.pem")
	failed(t, exitFailed, "was not issued by ca.pem", "cert", "revoke", "ca.pem")
	failed(t, exitFailed, "no serial number", "cert", "revoke", "missing.pem")
	failed(t, exitFailed, "holds a PRIVATE KEY", "cert", "revoke", "a-key.pem")
	failed(t, exitFailed, "crl.pem: the list so far is not of this CA", "cert", "revoke", "--ca", "other/ca.pem", "--ca-key", "other/ca-key.pem")
	require.NoError(t, os.WriteFile("crl.pem", nil, 0o600))
	failed(t, exitFailed, "crl.pem: is empty", "cert", "revoke", "a.pem")
}

func readLists(path string) ([]*x509.RevocationList, error) {
	content, err := readCredential(path)
	if err != nil {
		return nil, err
	}
	return secure.ParseRevocationLists(content)
}

// trustPathsOf are the settings of a gateway with the files of a CA in dir, which it gets a certificate from.
func trustPathsOf(t *testing.T, dir string) trustPaths {
	t.Helper()
	ranIn(t, dir, "cert", "issue", "--gateway", "127.0.0.1")
	return trustPaths{Certificate: "gateway.pem", Key: "gateway-key.pem", DeviceCA: []string{"ca.pem"}, CRL: []string{"crl.pem"}, Mapping: secure.DefaultMapping}
}

func TestCertTickets(t *testing.T) {
	dir := t.TempDir()
	ranIn(t, dir, "cert", "tickets")
	content, err := os.ReadFile("tickets.secret")
	require.NoError(t, err)
	require.Regexp(t, `^[0-9a-f]{64}\n$`, string(content))
	failed(t, exitFailed, "is there already", "cert", "tickets")
	cfg, err := loadTrust(trustPaths{Tickets: "tickets.secret"})
	require.NoError(t, err)
	require.Len(t, cfg.TicketSecrets[0], 32)
}

func TestLifetimes(t *testing.T) {
	for text, want := range map[string]time.Duration{"365d": 365 * day, "1d": day, "24h": day, "90m": 90 * time.Minute, "2d": 2 * day, "1s": time.Second} {
		var l Lifetime
		require.NoError(t, l.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, time.Duration(l))
		var again Lifetime
		require.NoError(t, again.UnmarshalText([]byte(l.String())))
		require.Equal(t, l, again)
	}
	for _, text := range []string{"", "d", "0d", "-1d", "1.5d", "30", "0", "0s", "-1h", "1y", "99999999999d", "1000000h", " 1d"} {
		var l Lifetime
		require.Error(t, l.UnmarshalText([]byte(text)), text)
	}
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		12*day + time.Hour: "in 12 days", 47*time.Hour + 59*time.Minute: "in 47h59m", 24 * time.Hour: "in 24h", 90 * time.Second: "in 1m30s",
		0: "in 0s", -3 * time.Hour: "3h ago", -2 * day: "2 days ago", -1500 * time.Millisecond: "1s ago",
	} {
		require.Equal(t, want, fromNow(now.Add(d), now), d)
	}
}
