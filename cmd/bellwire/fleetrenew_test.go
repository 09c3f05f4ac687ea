package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
)

// fleetFiles are what a gateway proves itself to the others with, in a directory of its own.
type fleetFiles struct {
	t    *testing.T
	root string // has a directory for each CA
	name string
}

func (f fleetFiles) path(file string) string { return filepath.Join(f.root, f.name, file) }

// put gives it the CAs to believe, and the certificate that one of them, as, has issued.
func (f fleetFiles) put(as string, believes ...string) {
	f.t.Helper()
	require.NoError(f.t, os.MkdirAll(filepath.Join(f.root, f.name), 0o700))
	read := func(parts ...string) []byte {
		content, err := os.ReadFile(filepath.Join(append([]string{f.root}, parts...)...))
		require.NoError(f.t, err)
		return content
	}
	var cas []byte
	for _, ca := range believes {
		cas = append(cas, read(ca, "fleet-ca.pem")...)
	}
	for file, content := range map[string][]byte{
		"ca.pem": cas, "cert.pem": read(as, "fleet-"+f.name+".pem"), "key.pem": read(as, "fleet-"+f.name+"-key.pem"),
	} {
		require.NoError(f.t, os.WriteFile(f.path(file), content, 0o600))
	}
}

func (f fleetFiles) flags(more ...string) []string {
	return append([]string{"--fleet-ca=" + f.path("ca.pem"), "--fleet-cert=" + f.path("cert.pem"), "--fleet-key=" + f.path("key.pem")}, more...)
}

// reload has a gateway read its files again, and waits for what it says.
func (r *running) reload(t *testing.T, says string) {
	t.Helper()
	before := strings.Count(r.errs.String(), says)
	r.signals <- syscall.SIGHUP
	require.Eventually(t, func() bool { return strings.Count(r.errs.String(), says) > before }, testPatience, time.Millisecond, "%s in:\n%s", says, &r.errs)
}

// TestFleetChangesItsCA [BC-D9]: gateways of a fleet get new certificates of a new CA one after the other, with SIGHUP.
// None is ever without its links, or without the central service; in the end the old CA is not believed any more.
func TestFleetChangesItsCA(t *testing.T) {
	root := t.TempDir()
	for _, ca := range []string{"old", "new"} {
		ranIn(t, root, "cert", "fleet-ca", "--dir="+ca)
		ranIn(t, root, "cert", "fleet", "--dir="+ca, "g1", "g2", "g3")
	}
	files := map[string]fleetFiles{}
	for _, name := range []string{"g1", "g2", "g3"} {
		files[name] = fleetFiles{t, root, name}
		files[name].put("old", "old")
	}
	addresses, err := freeAddresses(3)
	require.NoError(t, err)
	first := files["g1"].flags("--central=embedded", "--central-listen="+addresses[0], "--peer-listen="+addresses[1])
	g1, _, admin1 := gatewayFor(t, nil, first...)
	g2, _, admin2 := gatewayFor(t, nil, files["g2"].flags("--central=tls://"+addresses[0], "--peer-listen="+addresses[2])...)
	together := func(admin string) {
		t.Helper()
		awaitFleet(t, "--admin="+admin, func(f gateway.FleetStatus) bool { return linkedTo(f) == 1 && f.Central != "away" })
	}
	together(admin1)
	together(admin2)
	const renewed = "read the settings again"
	for name, gw := range map[string]*running{"g1": g1, "g2": g2} {
		files[name].put("old", "old", "new")
		gw.reload(t, renewed)
	}
	for name, gw := range map[string]*running{"g1": g1, "g2": g2} {
		files[name].put("new", "old", "new")
		gw.reload(t, renewed)
	}
	require.NotContains(t, g1.errs.String()+g2.errs.String(), "link ended", "a link that is believed stays")

	// One that was forgotten: it shows a certificate of the old CA, and believes both.
	files["g3"].put("old", "old", "new")
	g3, _, admin3 := gatewayFor(t, nil, files["g3"].flags("--central=tls://"+addresses[0], "--peer="+addresses[1])...)
	awaitFleet(t, "--admin="+admin3, func(f gateway.FleetStatus) bool { return linkedTo(f) == 2 && f.Central != "away" })

	// Links that were made with certificates of the old CA are closed, and made anew by those that have others.
	for _, gw := range []struct {
		*running
		files fleetFiles
	}{{g1, files["g1"]}, {g2, files["g2"]}} {
		gw.files.put("new", "new")
		gw.reload(t, renewed)
	}
	g1.until(t, &g1.errs, "certificate not believed any more")
	together(admin1)
	together(admin2)
	awaitFleet(t, "--admin="+admin3, func(f gateway.FleetStatus) bool { return linkedTo(f) == 0 && f.Central == "away" })
	g3.until(t, &g3.errs, `"msg":"central is away"`)

	// It is welcome when it has one as well, and believes the new CA alone.
	files["g3"].put("new", "new")
	g3.reload(t, renewed)
	awaitFleet(t, "--admin="+admin3, func(f gateway.FleetStatus) bool { return linkedTo(f) == 2 && f.Central != "away" })
	g3.signals <- syscall.SIGTERM
	g3.wait(t, exitDone)

	// And g2 proves itself with its new certificate when the central service comes back.
	g1.signals <- syscall.SIGTERM
	g1.wait(t, exitDone)
	g1, _, admin1 = gatewayFor(t, nil, first...)
	together(admin1)
	together(admin2)

	// Half of another gateway's, and then all of it.
	for _, bad := range []struct {
		files []string
		says  string
	}{{[]string{"cert.pem"}, "private key does not match"}, {[]string{"cert.pem", "key.pem"}, "until a restart this gateway is [bellwire://bellwire/gateway/g2]"}} {
		for _, file := range bad.files {
			content, err := os.ReadFile(files["g1"].path(file))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(files["g2"].path(file), content, 0o600))
		}
		g2.reload(t, "the old ones stay")
		require.Contains(t, g2.errs.String(), bad.says)
	}
	together(admin2)
	for _, gw := range []*running{g1, g2} {
		gw.signals <- syscall.SIGTERM
		gw.wait(t, exitDone)
	}
}

// TestFleetFilesTakenOut: whether a gateway has them at all changes at a restart, and until then it keeps what it has. So it
// does when something else is wrong with a reload.
func TestFleetFilesTakenOut(t *testing.T) {
	root := t.TempDir()
	for _, ca := range []string{"old", "new"} {
		ranIn(t, root, "cert", "fleet-ca", "--dir="+ca)
		ranIn(t, root, "cert", "fleet", "--dir="+ca, "g1")
	}
	ranIn(t, root, "cert", "ca", "--dir=devices")
	ranIn(t, root, "cert", "issue", "--dir=devices", "--gateway", "127.0.0.1")
	f := fleetFiles{t, root, "g1"}
	f.put("old", "old")
	addresses, err := freeAddresses(2)
	require.NoError(t, err)
	devices := filepath.Join(root, "devices")
	fleet := "fleet: {ca: " + f.path("ca.pem") + ", cert: " + f.path("cert.pem") + ", key: " + f.path("key.pem") + "}\n"
	secured := "listen_tls: " + addresses[0] + "\ntls: {certificate: " + devices + "/gateway.pem, key: " + devices + "/gateway-key.pem}\n"
	file := writeFile(t, fleet+secured)
	gw, _, _ := gatewayFor(t, nil, "--config="+file, "--peer-listen="+addresses[1])
	shows := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", addresses[1], &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Issuer.CommonName
	}
	old := shows()
	require.NoError(t, os.WriteFile(file, []byte(secured), 0o600))
	gw.reload(t, `"msg":"these settings change at a restart","settings":"fleet.ca fleet.cert fleet.key"`)
	require.Equal(t, old, shows())

	// listen_tls stays open until a restart, and needs a certificate: that is found out after the new files were taken.
	f.put("new", "new")
	require.NoError(t, os.WriteFile(file, []byte(fleet), 0o600))
	gw.reload(t, "the old ones stay")
	require.Equal(t, old, shows())
	require.NoError(t, os.WriteFile(file, []byte(fleet+secured), 0o600))
	gw.reload(t, "read the settings again")
	require.NotEqual(t, old, shows())
	gw.until(t, &gw.errs, `"msg":"shows other gateways a new certificate","serial":"[0-9a-f]+","until":"`)
	gw.signals <- syscall.SIGTERM
	gw.wait(t, exitDone)
}
