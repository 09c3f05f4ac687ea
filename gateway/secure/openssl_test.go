package secure

import (
	"crypto/x509"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// workbench is a directory in which openssl works. It has to be there: what other
// tools make and read is half of what certificates are for.
type workbench struct {
	t   *testing.T
	dir string
}

func newWorkbench(t *testing.T) workbench {
	t.Helper()
	_, err := exec.LookPath("openssl")
	require.NoError(t, err, "install openssl to run this test")
	return workbench{t, t.TempDir()}
}

// openssl runs it and returns what it prints.
func (w workbench) openssl(arguments string) (string, error) {
	w.t.Helper()
	command := exec.Command("openssl", strings.Fields(arguments)...)
	command.Dir = w.dir
	out, err := command.CombinedOutput()
	return string(out), err
}

func (w workbench) must(arguments string) string {
	w.t.Helper()
	out, err := w.openssl(arguments)
	require.NoError(w.t, err, "openssl %s: %s", arguments, out)
	return out
}

func (w workbench) write(name, text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

func (w workbench) read(name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	require.NoError(w.t, err)
	return b
}

func (w workbench) certificate(name string) *x509.Certificate {
	w.t.Helper()
	all, err := ParseCertificates(w.read(name))
	require.NoError(w.t, err)
	return all[0]
}

const opensslConfig = `[ca]
default_ca = own
[own]
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.pem
private_key = ca-key.pem
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = optional
[device]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
`

// ca makes a CA with openssl and the files that it keeps.
func (w workbench) ca() {
	w.t.Helper()
	w.write("openssl.cnf", opensslConfig)
	w.write("index.txt", "")
	w.write("serial", "1000\n")
	w.write("crlnumber", "01\n")
	w.must("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca-key.pem -out ca.pem -days 30 -subj /CN=devices" +
		" -addext keyUsage=critical,keyCertSign,cRLSign")
}

// device has that CA issue a certificate by its own bookkeeping.
func (w workbench) device(file, san string) {
	w.t.Helper()
	w.must("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout " + file + "-key.pem -out " + file + ".csr -subj /CN=" + file +
		" -addext subjectAltName=" + san)
	w.must("ca -batch -config openssl.cnf -extensions device -in " + file + ".csr -out " + file + ".pem -notext")
}

// TestOpenSSLIssues is MS-17's with certificates of another maker: they are
// believed, and revoked by its list.
func TestOpenSSLIssues(t *testing.T) {
	w := newWorkbench(t)
	w.ca()
	w.device("kitchen", "URI:"+kitchenURI)
	w.device("cellar", "URI:bellwire://acme/cellar,DNS:cellar.acme.example")
	w.device("port", "URI:bellwire://acme:1/cellar")
	w.device("fragment", `URI:bellwire://acme/cellar\#`) // its configuration has comments
	w.device("twice", "URI:bellwire://acme/a,URI:bellwire://acme/b")
	w.device("capitals", "URI:bellwire://ACME/cellar")

	now := func(c *Config) { c.Now = time.Now }
	ca := &Authority{certificate: w.certificate("ca.pem")}
	for file, want := range map[string]string{
		"kitchen": "acme/kitchen", "cellar": "acme/cellar", "port": "", "fragment": "", "twice": "", "capitals": "",
	} {
		p, err := prove(trusting(t, now, ca), w.certificate(file+".pem"))
		if want == "" {
			refused(t, err, wire.CodeNotAuthenticated, "device")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, p.Identity.String())
	}

	w.must("ca -config openssl.cnf -revoke kitchen.pem")
	w.must("ca -config openssl.cnf -gencrl -out crl.pem")
	w.must("crl -in crl.pem -outform DER -out crl.der")
	for _, file := range []string{"crl.pem", "crl.der"} {
		lists, err := ParseRevocationLists(w.read(file))
		require.NoError(t, err)
		trust := trusting(t, func(c *Config) { c.Now, c.CRLs = time.Now, lists }, ca)
		_, err = prove(trust, w.certificate("kitchen.pem"))
		refused(t, err, wire.CodeRevoked, "certificate 1000: revoked")
		_, err = prove(trust, w.certificate("cellar.pem"))
		require.NoError(t, err)
	}

	serial := strings.TrimSpace(strings.TrimPrefix(w.must("x509 -in cellar.pem -noout -serial"), "serial="))
	revoked, err := ParseRevoked([]byte("certificate " + serial))
	require.NoError(t, err)
	_, err = prove(trusting(t, func(c *Config) { c.Now, c.Revoked = time.Now, revoked }, ca), w.certificate("cellar.pem"))
	refused(t, err, wire.CodeRevoked, "revoked")
}

// TestOpenSSLIntermediates: a chain of two CAs, the root alone believed.
func TestOpenSSLIntermediates(t *testing.T) {
	w := newWorkbench(t)
	w.ca()
	w.write("sub.ext", "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nnameConstraints=critical,permitted;URI:acme\n")
	w.must("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout sub-key.pem -out sub.csr -subj /CN=sub")
	w.must("x509 -req -in sub.csr -CA ca.pem -CAkey ca-key.pem -out sub.pem -days 20 -extfile sub.ext")
	ca := &Authority{certificate: w.certificate("ca.pem")}
	for name, believed := range map[string]bool{kitchenURI: true, "bellwire://beta/kitchen": false, "bellwire://x.acme/kitchen": false} {
		w.write("leaf.ext", "extendedKeyUsage=clientAuth\nsubjectAltName=URI:"+name+"\n")
		w.must("req -new -newkey rsa:2048 -noenc -keyout leaf-key.pem -out leaf.csr -subj /CN=leaf")
		w.must("x509 -req -in leaf.csr -CA sub.pem -CAkey sub-key.pem -out leaf.pem -days 10 -extfile leaf.ext")
		_, err := w.openssl("verify -CAfile ca.pem -untrusted sub.pem -purpose sslclient leaf.pem")
		require.Equal(t, believed, err == nil, "openssl about %s", name)
		_, err = prove(trusting(t, func(c *Config) { c.Now = time.Now }, ca), w.certificate("leaf.pem"), w.certificate("sub.pem"))
		require.Equal(t, believed, err == nil, "the gateway about %s: %v", name, err)
	}
}

// TestOpenSSLVerifies what is made here.
func TestOpenSSLVerifies(t *testing.T) {
	w := newWorkbench(t)
	p := Period{From: time.Now(), For: 24 * time.Hour}
	a, pair, err := NewAuthority("devices", p)
	require.NoError(t, err)
	device, err := a.Device(kitchen, p)
	require.NoError(t, err)
	gateway, err := a.Gateway([]string{"gw.example", "127.0.0.1"}, p)
	require.NoError(t, err)
	for name, file := range map[string][]byte{
		"ca.pem": pair.Certificate, "ca-key.pem": pair.Key, "device.pem": device.Certificate, "device-key.pem": device.Key, "gateway.pem": gateway.Certificate,
	} {
		w.write(name, string(file))
	}
	w.must("verify -x509_strict -CAfile ca.pem -purpose sslclient device.pem")
	w.must("verify -x509_strict -CAfile ca.pem -purpose sslserver -verify_hostname gw.example gateway.pem")
	w.must("verify -x509_strict -CAfile ca.pem -purpose sslserver -verify_ip 127.0.0.1 gateway.pem")
	_, err = w.openssl("verify -CAfile ca.pem -purpose sslserver device.pem")
	require.Error(t, err, "a device is no gateway")
	_, err = w.openssl("verify -CAfile ca.pem -purpose sslclient gateway.pem")
	require.Error(t, err, "a gateway is no device")
	require.Contains(t, w.must("x509 -in device.pem -noout -ext subjectAltName"), "URI:"+kitchenURI)
	require.Equal(t, w.must("x509 -in device.pem -noout -pubkey"), w.must("pkey -in device-key.pem -pubout"))

	list, err := a.Revoke(nil, nil, p)
	require.NoError(t, err)
	w.write("crl.pem", string(list))
	w.must("verify -crl_check -CRLfile crl.pem -CAfile ca.pem device.pem")
	lists, err := ParseRevocationLists(list)
	require.NoError(t, err)
	list, err = a.Revoke(lists[0], []*big.Int{parsed(t, device).SerialNumber}, p)
	require.NoError(t, err)
	w.write("crl.pem", string(list))
	out, err := w.openssl("verify -crl_check -CRLfile crl.pem -CAfile ca.pem device.pem")
	require.Error(t, err)
	require.Contains(t, out, "revoked")
}

// TestOpenSSLTokenKeys: keys go both ways.
func TestOpenSSLTokenKeys(t *testing.T) {
	w := newWorkbench(t)
	w.must("genpkey -algorithm ed25519 -out token-key.pem")
	w.must("pkey -in token-key.pem -pubout -out token.pub.pem")
	key, err := ParseTokenPrivateKey(w.read("token-key.pem"))
	require.NoError(t, err)
	public, err := ParseTokenKey(w.read("token.pub.pem"))
	require.NoError(t, err)
	token, err := IssueToken(key, Claims{Subject: "acme/kitchen", Expires: today})
	require.NoError(t, err)
	require.True(t, SignedBy([]byte(token), public))

	text, _ := cutLast(token)
	w.write("signed", text)
	w.write("signature", string(signatureOf(t, token)))
	require.Contains(t, w.must("pkeyutl -verify -rawin -pubin -inkey token.pub.pem -in signed -sigfile signature"), "Success")
	ours, oursPublic, err := NewTokenKey()
	require.NoError(t, err)
	w.write("ours.pem", string(ours))
	require.Equal(t, string(oursPublic), w.must("pkey -in ours.pem -pubout"))
}
