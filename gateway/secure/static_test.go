package secure

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestStaticKeys(t *testing.T) {
	secret, key, err := NewStaticKey(StaticKey{Identity: kitchen})
	require.NoError(t, err)
	narrow, limited, err := NewStaticKey(StaticKey{
		Identity: wire.Identity{Tenant: "acme", Device: "hall"}, Limited: true,
		Publish: []string{"broadcast/{tenant}/#"}, Subscribe: []string{"to/{device}"},
	})
	require.NoError(t, err)
	require.NotEqual(t, secret, narrow)
	require.Regexp(t, `^bwk_[A-Za-z0-9_-]{43}$`, secret)

	trust, err := NewTrust(Config{StaticKeys: []StaticKey{key, limited}})
	require.NoError(t, err)
	require.True(t, trust.ProvesDevices())
	p, err := trust.Token([]byte(secret))
	require.NoError(t, err)
	require.Equal(t, kitchen, p.Identity)
	require.False(t, p.Limited)
	require.True(t, p.Expires.IsZero())
	require.Equal(t, "acme/kitchen by static key", p.String())
	p, err = trust.Token([]byte(narrow))
	require.NoError(t, err)
	require.Equal(t, []any{true, []string{"broadcast/acme/#"}, []string{"to/hall"}}, []any{p.Limited, p.Publish, p.Subscribe})

	for _, wrong := range []string{secret[:len(secret)-1], secret + "x", " " + secret, strings.ToUpper(secret), key.String(), string(key.Hash[:]), "bwk_", "kitchen"} {
		_, err := trust.Token([]byte(wrong))
		refused(t, err, wire.CodeNotAuthenticated, "neither a token nor a key")
		require.NotContains(t, err.Error(), wrong)
	}
	_, err = trust.Token(nil)
	refused(t, err, wire.CodeNotAuthenticated, "no token")

	withdrawn, err := NewTrust(Config{StaticKeys: []StaticKey{key}, Revoked: Revoked{Devices: []wire.Identity{kitchen}}})
	require.NoError(t, err)
	_, err = withdrawn.Token([]byte(secret))
	refused(t, err, wire.CodeRevoked, "device revoked")
}

// TestHalfAHashIsNoKey: what finds a key is not what proves it.
func TestHalfAHashIsNoKey(t *testing.T) {
	key := StaticKey{Identity: kitchen, Hash: sha256.Sum256([]byte("secret"))}
	keys := staticKeys{halfHash(key.Hash[:16]): key}
	near := key.Hash
	near[31] ^= 1
	_, found := keys.find(near)
	require.False(t, found)
	_, found = keys.find(key.Hash)
	require.True(t, found)
}

func TestStaticKeyLines(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	all, err := ParseStaticKeys([]byte("# keys\n\n  acme/kitchen sha256:" + hash + "\r\nacme/hall\tsha256:" + strings.ToUpper(hash) +
		" publish=a/{device} subscribe=b subscribe=c/#  # by the door\nacme/x sha256:" + hash + " publish="))
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Equal(t, kitchen, all[0].Identity)
	require.False(t, all[0].Limited)
	require.Equal(t, []string{"a/{device}"}, all[1].Publish)
	require.Equal(t, []string{"b", "c/#"}, all[1].Subscribe)
	require.True(t, all[2].Limited)
	require.Empty(t, all[2].Publish)
	for _, key := range all {
		again, err := ParseStaticKeys([]byte(key.String()))
		require.NoError(t, err)
		require.Equal(t, []StaticKey{key}, again)
	}
}

func TestStaticKeyLinesThatAreNone(t *testing.T) {
	hash := "sha256:" + strings.Repeat("ab", 32)
	for line, text := range map[string]string{
		"kitchen " + hash:                              "not tenant/device",
		"acme/kit+chen " + hash:                        "not tenant/device",
		"acme/kitchen":                                 "hash of the key is missing",
		"acme/kitchen bwk_topsecret":                   "a key itself has no place here",
		"acme/kitchen sha256:bwk_topsecret":            "a key itself has no place here",
		"acme/kitchen " + hash + "ab":                  "64 hexadecimal digits",
		"acme/kitchen " + strings.Repeat("ab", 32):     "64 hexadecimal digits",
		"acme/kitchen " + hash + " bwk_topsecret":      "only publish=FILTER",
		"acme/kitchen " + hash + " publish=a b":        "only publish=FILTER",
		"acme/kitchen " + hash + " publish=a/#/b":      "# must be last",
		"acme/kitchen " + hash + " subscribe=$sys":     "gateway's own",
		"acme/kitchen " + hash + " subscribe=a\u200bb": "does not show",
	} {
		_, err := ParseStaticKeys([]byte("# one\n" + line + "\n"))
		require.ErrorContains(t, err, text, line)
		require.ErrorContains(t, err, "line 2: ")
		require.NotContains(t, err.Error(), "topsecret", "what was taken for a key is not shown")
	}
}

func TestStaticKeysThatCannotBe(t *testing.T) {
	_, _, err := NewStaticKey(StaticKey{Identity: wire.Identity{Tenant: "a b", Device: "c"}})
	require.Error(t, err)
	_, _, err = NewStaticKey(StaticKey{Identity: kitchen, Publish: []string{"a"}})
	require.ErrorContains(t, err, "not limited")
	_, _, err = NewStaticKey(StaticKey{Identity: kitchen, Limited: true, Publish: []string{"a b"}})
	require.ErrorContains(t, err, "spaces")
}
