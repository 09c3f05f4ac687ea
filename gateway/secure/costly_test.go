package secure

import (
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// costlyChain is what a stranger makes up: a device's certificate that claims to be
// signed by an RSA key of so many bits, and issuers of that name. No signature is
// good, which is only found out by checking them.
func costlyChain(t *testing.T, bits, exponent int) []*x509.Certificate {
	t.Helper()
	ca := newTestCA(t)
	leaf := *ca.device("a").Leaf
	leaf.SignatureAlgorithm, leaf.Signature = x509.SHA256WithRSA, make([]byte, bits/8)
	leaf.Signature[1] = 1
	sent := []*x509.Certificate{&leaf}
	for i := range maxChain - 1 {
		issuer := *ca.cert
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits)-1)
		issuer.PublicKeyAlgorithm, issuer.PublicKey = x509.RSA, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: exponent}
		issuer.Raw = append([]byte{byte(i)}, issuer.Raw...) // another certificate
		sent = append(sent, &issuer)
	}
	return sent
}

// Keys that cost much more to check than a handshake are refused before they are
// used (MS-17).
func TestCostlyIssuersAreRefused(t *testing.T) {
	trust, err := NewTrust(Config{Now: func() time.Time { return someday }})
	require.NoError(t, err)
	for _, c := range []struct {
		bits, exponent int
		why            string
	}{
		{4096, 65537, "unknown issuer"}, // the control: these are checked
		{4104, 65537, "larger than"},
		{32768, 65537, "larger than"},
		{2048, 1<<31 - 1, "larger than"},
	} {
		_, err := trust.certificate(costlyChain(t, c.bits, c.exponent))
		require.ErrorContains(t, err, c.why, "%d bits", c.bits)
		require.Equal(t, wire.CodeNotAuthenticated, wire.CodeOf(err))
	}
}
