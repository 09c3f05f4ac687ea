package secure

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func fuzzTrust(f *testing.F) *Trust {
	f.Helper()
	trust, err := NewTrust(Config{
		Now: at(today), TokenKeys: []TokenKey{{ID: "k1", Key: publicOf(seeded(1))}, {Key: publicOf(seeded(1))}},
		StaticKeys: []StaticKey{{Identity: kitchen, Hash: [32]byte{1}}},
	})
	require.NoError(f, err)
	return trust
}

// FuzzToken: of any bytes only a token with the signature of the key proves
// anything, and every refusal has a code of its range and a text that fits.
func FuzzToken(f *testing.F) {
	trust := fuzzTrust(f)
	f.Fuzz(func(t *testing.T, token []byte) {
		before := string(token)
		p, err := trust.Token(token)
		require.Equal(t, before, string(token))
		if err != nil {
			require.Nil(t, p)
			var e *wire.Error
			require.ErrorAs(t, err, &e)
			require.LessOrEqual(t, len(e.Field), wire.MaxRefusalText)
			require.NotEmpty(t, e.Field)
			return
		}
		text, _ := cutLast(before)
		require.True(t, ed25519.Verify(publicOf(seeded(1)), []byte(text), signatureOf(t, before)))
	})
}

// cutLast parts a token into what is signed and the signature.
func cutLast(token string) (text, signature string) {
	dot := strings.LastIndexByte(token, '.')
	return token[:dot], token[dot+1:]
}

func signatureOf(t *testing.T, token string) []byte {
	t.Helper()
	_, signature := cutLast(token)
	b, err := decodeSegment([]byte(signature))
	require.NoError(t, err)
	return b
}

// FuzzClaims signs any header and payload, so that what lies behind the signature
// is reached. What is accepted says the same to encoding/json.
func FuzzClaims(f *testing.F) {
	trust := fuzzTrust(f)
	f.Fuzz(func(t *testing.T, head, payload string) {
		token := []byte(signedText(seeded(1), head, payload))
		p, err := trust.Token(token)
		a, adminErr := trust.Admin(token)
		require.False(t, err == nil && adminErr == nil, "one token is not both")
		if err != nil && adminErr != nil {
			return
		}
		var slow map[string]any
		require.NoError(t, json.Unmarshal([]byte(payload), &slow))
		var algorithm struct{ Alg string }
		require.NoError(t, json.Unmarshal([]byte(head), &algorithm))
		require.Equal(t, "EdDSA", algorithm.Alg)
		exp, ok := slow["exp"].(float64)
		require.True(t, ok)
		require.Greater(t, exp, float64(today.Unix()))
		if adminErr == nil {
			require.Equal(t, slow["sub"], a.Name)
			require.NotEmpty(t, a.Name)
			return
		}
		require.Equal(t, slow["sub"], p.Identity.String())
		require.NoError(t, p.Identity.Check())
		require.EqualValues(t, exp, p.Expires.Unix())
		_, publishes := slow["pub"]
		_, subscribes := slow["sbs"]
		require.Equal(t, publishes || subscribes, p.Limited)
		for _, filter := range append(append([]string(nil), p.Publish...), p.Subscribe...) {
			require.NoError(t, wire.CheckFilter([]byte(filter)))
		}
		require.NoError(t, trust.Check(p))
		c, _, err := ReadToken(token)
		require.NoError(t, err)
		require.Equal(t, c.Subject, p.Identity.String())
	})
}

// FuzzMapping: a name that is read is exactly what its identity renders, so no two
// names are one device, but for the case of DNS.
func FuzzMapping(f *testing.F) {
	f.Fuzz(func(t *testing.T, template, name string) {
		m, err := parseMapping(template)
		if err != nil {
			return
		}
		id, err := m.pick([]string{name})
		if err != nil {
			return
		}
		if m.kind == "dns" {
			name = strings.ToLower(name)
		}
		require.Equal(t, name, m.render(id))
		if !m.hasTenant {
			require.Empty(t, id.Tenant)
			id.Tenant = "any"
		}
		require.NoError(t, id.Check())
		if m.kind == "uri" {
			require.False(t, strings.ContainsAny(name, "%?#\\ \x00"), name)
		}
		_, err = m.pick([]string{name, name})
		require.ErrorIs(t, err, errManyNames)
	})
}

// FuzzStaticKeys: what is read is written and read again as the same, and a Trust
// takes it.
func FuzzStaticKeys(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseStaticKeys(text)
		if err != nil {
			require.Regexp(t, `^line [0-9]+: `, err.Error())
			return
		}
		var written strings.Builder
		for _, key := range keys {
			written.WriteString(key.String() + "\n")
		}
		again, err := ParseStaticKeys([]byte(written.String()))
		require.NoError(t, err, written.String())
		require.Equal(t, keys, again)
		for _, key := range keys {
			if key.Hash != [32]byte{} {
				_, err := NewTrust(Config{StaticKeys: []StaticKey{key}})
				require.NoError(t, err)
			}
		}
	})
}

// FuzzRevoked: what is read, a Trust takes.
func FuzzRevoked(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRevoked(text)
		if err != nil {
			require.Regexp(t, `^line [0-9]+: `, err.Error())
			return
		}
		_, err = NewTrust(Config{Revoked: r})
		require.NoError(t, err)
	})
}
