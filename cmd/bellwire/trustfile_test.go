package main

import (
	"crypto/tls"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/secure"
)

// credentials makes one file of each kind, and the settings that name them.
func credentials(t *testing.T) trustPaths {
	t.Helper()
	dir := t.TempDir()
	ranIn(t, dir, "cert", "ca")
	ranIn(t, dir, "cert", "ca", "--dir", "other")
	ranIn(t, dir, "cert", "issue", "acme/kitchen")
	ranIn(t, dir, "cert", "revoke", "kitchen.pem")
	ranIn(t, dir, "cert", "tickets")
	ranIn(t, dir, "token", "key")
	ranIn(t, dir, "token", "issue", "--static", "acme/hall")
	require.NoError(t, os.WriteFile("revoked", []byte("# nobody yet\n"), 0o600))
	paths := trustPathsOf(t, dir)
	paths.DeviceCA = []string{"ca.pem", "beta=other/ca.pem"}
	paths.Curves, paths.Tickets, paths.TokenKeys, paths.Static, paths.Revoked = "x25519", "tickets.secret", []string{"acme=token.pub.pem"}, "static.keys", "revoked"
	return paths
}

// another goes to a copy of the current directory.
func another(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || path == ".":
			return err
		case entry.IsDir():
			return os.Mkdir(filepath.Join(dir, path), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), content, info.Mode().Perm())
	}))
	t.Chdir(dir)
}

func TestTrustIsLoaded(t *testing.T) {
	cfg, err := loadTrust(credentials(t))
	require.NoError(t, err)
	require.Len(t, cfg.Certificates, 1)
	require.Len(t, cfg.DeviceCAs, 2)
	require.Empty(t, cfg.DeviceCAs[0].Tenant)
	require.Equal(t, "beta", cfg.DeviceCAs[1].Tenant)
	require.Len(t, cfg.CRLs, 1)
	require.Equal(t, []tls.CurveID{tls.X25519}, cfg.Curves)
	require.Len(t, cfg.TicketSecrets, 1)
	require.Equal(t, "acme", cfg.TokenKeys[0].Tenant)
	require.Equal(t, secure.TokenKeyID(cfg.TokenKeys[0].Key), cfg.TokenKeys[0].ID)
	require.Len(t, cfg.StaticKeys, 1)
	require.Zero(t, cfg.Revoked)
	_, err = secure.NewTrust(cfg)
	require.NoError(t, err)
}

func TestNothingToLoad(t *testing.T) {
	trust, err := newTrust(trustPaths{Curves: "auto"})
	require.NoError(t, err)
	require.False(t, trust.HasTLS())
	require.False(t, trust.ProvesDevices())
}

// TestTrustNeverFailsOpen: whatever is wrong with a file that is named, there is no Trust, and the error names setting,
// file and way out.
func TestTrustNeverFailsOpen(t *testing.T) {
	write := func(content string) func(string) {
		return func(path string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o600)) }
	}
	mode := func(m os.FileMode) func(string) {
		return func(path string) { require.NoError(t, os.Chmod(path, m)) }
	}
	remove := func(path string) { require.NoError(t, os.Remove(path)) }
	copied := func(from string) func(string) {
		return func(path string) {
			content, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
	}
	good := credentials(t)
	for _, test := range []struct {
		file  string
		spoil func(path string)
		want  []string
	}{
		{"gateway.pem", remove, []string{"tls.certificate: gateway.pem: ", "no such file"}},
		{"gateway.pem", write(""), []string{"tls.certificate: gateway.pem: ", "is empty"}},
		{"gateway.pem", write("x"), []string{"tls.certificate: gateway.pem", "PEM"}},
		{"gateway.pem", copied("kitchen.pem"), []string{"tls.certificate: gateway.pem, tls.key: gateway-key.pem: ", "private key does not match"}},
		{"gateway-key.pem", remove, []string{"tls.key: gateway-key.pem: ", "no such file"}},
		{"gateway-key.pem", write("x"), []string{"tls.key: gateway-key.pem", "PEM"}},
		{"gateway-key.pem", write("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), []string{"tls.key: gateway-key.pem: is encrypted", "openssl pkey"}},
		{"gateway-key.pem", mode(0o644), []string{"tls.key: gateway-key.pem: ", "0644", "chmod 0600 gateway-key.pem"}},
		{"gateway-key.pem", mode(0o660), []string{"tls.key: gateway-key.pem: ", "chmod 0600"}},
		{"ca.pem", remove, []string{"tls.device_ca[0]: ca.pem: ", "no such file"}},
		{"ca.pem", write("hello"), []string{"tls.device_ca[0]: ca.pem: no certificate in it: want PEM"}},
		{"ca.pem", copied("kitchen.pem"), []string{"tls.device_ca[0]: ca.pem: is not that of a CA"}},
		{"ca.pem", copied("ca-key.pem"), []string{"tls.device_ca[0]: ca.pem: holds a PRIVATE KEY"}},
		{"other/ca.pem", write(""), []string{"tls.device_ca[1]: other/ca.pem: is empty"}},
		{"crl.pem", remove, []string{"tls.crl[0]: crl.pem: "}},
		{"crl.pem", copied("ca.pem"), []string{"tls.crl[0]: crl.pem: holds a CERTIFICATE"}},
		{"tickets.secret", remove, []string{"tls.tickets: tickets.secret: "}},
		{"tickets.secret", write("\n"), []string{"tls.tickets: tickets.secret: there is no secret in it", "bellwire cert tickets"}},
		{"tickets.secret", write("topsecret"), []string{"tls.tickets: tickets.secret: line 1: want at least 64"}},
		{"tickets.secret", write("# x\n" + strings.Repeat("ab", 31)), []string{"tls.tickets: tickets.secret: line 2: want at least 64"}},
		{"tickets.secret", mode(0o604), []string{"tls.tickets: tickets.secret: ", "chmod 0600"}},
		{"token.pub.pem", remove, []string{"tokens.keys[0]: token.pub.pem: "}},
		{"token.pub.pem", copied("token-key.pem"), []string{"tokens.keys[0]: token.pub.pem: is the private key"}},
		{"token.pub.pem", copied("ca.pem"), []string{"tokens.keys[0]: token.pub.pem: holds a CERTIFICATE"}},
		{"static.keys", write("# none\n"), []string{"tokens.static: static.keys: there is no key in it", "--static"}},
		{"static.keys", write("acme/kitchen topsecret\n"), []string{"tokens.static: static.keys: line 1: "}},
		{"revoked", remove, []string{"revoked: revoked: "}},
		{"revoked", write("acme/kitchen\n"), []string{"revoked: revoked: line 1: "}},
	} {
		t.Run(test.file, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(strings.Join(test.want, ""), "chmod") {
				t.Skip("there are no such modes")
			}
			another(t)
			test.spoil(test.file)
			trust, err := newTrust(good)
			require.Nil(t, trust)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "topsecret")
		})
	}
}

// TestTrustSettingsThatDoNotGoTogether: what only secure.NewTrust finds is said with the names of the settings.
func TestTrustSettingsThatDoNotGoTogether(t *testing.T) {
	good := credentials(t)
	for name, test := range map[string]struct {
		change func(*trustPaths)
		want   string
	}{
		"no key":                   {func(p *trustPaths) { p.Key = "" }, "tls.key is missing"},
		"no certificate":           {func(p *trustPaths) { p.Certificate = "" }, "tls.certificate is missing"},
		"CA without TLS":           {func(p *trustPaths) { p.Certificate, p.Key = "", "" }, "tls.certificate is missing"},
		"curves":                   {func(p *trustPaths) { p.Curves = "p256" }, "tls.curves: "},
		"mapping":                  {func(p *trustPaths) { p.Mapping = "x" }, "tls.mapping: "},
		"mapping without a tenant": {func(p *trustPaths) { p.Mapping = "cn:{device}" }, "tls.device_ca[0]: "},
		"a list of nobody":         {func(p *trustPaths) { p.DeviceCA = []string{"other/ca.pem"} }, "tls.crl: issuer CN=Bellwire CA"},
		"the same key twice":       {func(p *trustPaths) { p.TokenKeys = []string{"token.pub.pem", "beta=token.pub.pem"} }, "tokens.keys[1]: "},
		"a device's certificate":   {func(p *trustPaths) { p.Certificate, p.Key = "kitchen.pem", "kitchen-key.pem" }, "tls.certificate: is not for servers"},
		"a directory":              {func(p *trustPaths) { p.Revoked = "other" }, "revoked: other: is a directory"},
		"a tenant alone":           {func(p *trustPaths) { p.DeviceCA = []string{"acme="} }, "tls.device_ca[0]: "},
	} {
		t.Run(name, func(t *testing.T) {
			paths := good
			test.change(&paths)
			_, err := newTrust(paths)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestBoundEntries(t *testing.T) {
	for entry, want := range map[string][2]string{
		"ca.pem": {"", "ca.pem"}, "acme=ca.pem": {"acme", "ca.pem"}, "acme=a=b.pem": {"acme", "a=b.pem"}, "./a=b.pem": {"", "./a=b.pem"},
		"=x": {"", "=x"}, "dir/a=b": {"", "dir/a=b"},
	} {
		tenant, path := bound(entry)
		require.Equal(t, want, [2]string{tenant, path}, entry)
	}
}
