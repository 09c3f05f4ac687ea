package peer

import (
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCertifiedName(t *testing.T) {
	for text, want := range map[string]string{
		"bellwire://north/gateway/gw-1":      "gw-1",
		"bellwire://north/gateway/a.b_c:1":   "a.b_c:1",
		"bellwire://north/gateway/":          "",
		"bellwire://north/gateway/.a":        "",
		"bellwire://north/gateway/é":         "",
		"bellwire://north/gateway/a/b":       "",
		"bellwire://north/gateway/a%2fb":     "",
		"bellwire://north/gateway/a%20b":     "",
		"bellwire://north/gateway/a?x":       "",
		"bellwire://north/gateway/a#x":       "",
		"bellwire://u@north/gateway/a":       "",
		"bellwire://north:1/gateway/a":       "",
		"bellwire://north/kitchen":           "",
		"BELLWIRE://NORTH/gateway/gw-1":      "",
		"https://north/gateway/gw-1":         "",
		"bellwire://north/gateway/gw-1%2e2":  "",
		"bellwire://north/gateway/gateway/a": "",
	} {
		u, err := url.Parse(text)
		require.NoError(t, err)
		cluster, name, err := CertifiedName(&x509.Certificate{URIs: []*url.URL{u}})
		require.Equal(t, want, name, text)
		require.Equal(t, want == "", err != nil, text)
		require.Equal(t, want != "", cluster == "north", text)
	}
	a, err := CertificateName("north", "a")
	require.NoError(t, err)
	other := &url.URL{Scheme: "spiffe", Host: "north", Path: "/a"}
	_, name, err := CertifiedName(&x509.Certificate{URIs: []*url.URL{other, a}})
	require.NoError(t, err, "names of other systems may stand beside it")
	require.Equal(t, "a", name)
	for _, uris := range [][]*url.URL{nil, {other}, {a, a}} {
		_, _, err := CertifiedName(&x509.Certificate{URIs: uris})
		require.Error(t, err)
	}
}
