package secure

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestMappings(t *testing.T) {
	const (
		plain = DefaultMapping
		dns   = "dns:{device}.{tenant}.devices.example"
	)
	for _, test := range []struct {
		mapping string
		names   []string
		want    string // nothing: refused
	}{
		{plain, []string{"bellwire://acme/kitchen"}, "acme/kitchen"},
		{plain, []string{"bellwire://acme-1/a:b@c_d.e"}, "acme-1/a:b@c_d.e"},
		{plain, []string{"spiffe://acme/kitchen", "bellwire://acme/kitchen", "https://acme/kitchen"}, "acme/kitchen"},
		{plain, nil, ""},
		{plain, []string{""}, ""},
		{plain, []string{"bellwire"}, ""},
		{plain, []string{"bellwire:"}, ""},
		{plain, []string{"bellwire://"}, ""},
		{plain, []string{"bellwire:///"}, ""},
		{plain, []string{"bellwire:///kitchen"}, ""},
		{plain, []string{"bellwire://acme"}, ""},
		{plain, []string{"bellwire://acme/"}, ""},
		{plain, []string{"bellwire:acme/kitchen"}, ""},
		{plain, []string{"bellwire:/acme/kitchen"}, ""},
		{plain, []string{"BELLWIRE://acme/kitchen"}, ""},
		{plain, []string{"bellwire://Acme/kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen/"}, ""},
		{plain, []string{"bellwire://acme//kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen/stove"}, ""},
		{plain, []string{"bellwire://acme/../kitchen"}, ""},
		{plain, []string{"bellwire://acme/.."}, ""},
		{plain, []string{"bellwire://acme/kitchen "}, ""},
		{plain, []string{" bellwire://acme/kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen\n"}, ""},
		{plain, []string{"bellwire://acme/kitchen\x00"}, ""},
		{plain, []string{"bellwire://acme/kitchen\x00.evil"}, ""},
		{plain, []string{"bellwire://acme\x00/kitchen"}, ""},
		{plain, []string{"bellwire://acme/%6bitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen%00"}, ""},
		{plain, []string{"bellwire://acme/kitchen%2fx"}, ""},
		{plain, []string{"bellwire://%61cme/kitchen"}, ""},
		{plain, []string{"bellwire://user@acme/kitchen"}, ""},
		{plain, []string{"bellwire://acme@beta/kitchen"}, ""},
		{plain, []string{"bellwire://user:pass@acme/kitchen"}, ""},
		{plain, []string{"bellwire://acme:7315/kitchen"}, ""},
		{plain, []string{"bellwire://acme:/kitchen"}, ""},
		{plain, []string{"bellwire://[::1]/kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen?x"}, ""},
		{plain, []string{"bellwire://acme/kitchen?"}, ""},
		{plain, []string{"bellwire://acme?x/kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen#x"}, ""},
		{plain, []string{"bellwire://acme/kitchen#"}, ""},
		{plain, []string{"bellwire://acme/kitchen;x"}, ""},
		{plain, []string{"bellwire://acme\\kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen", "bellwire://acme/hall"}, ""},
		{plain, []string{"bellwire://acme/kitchen", "bellwire://acme/kitchen"}, ""},
		{plain, []string{"bellwire://acme/kitchen", "BellWire:nonsense"}, ""},
		{plain, []string{"bellwire://" + string(make([]byte, 3)) + "/x"}, ""},
		{plain, []string{"bellwire://ac\u217fe/kitchen"}, ""}, // a letter that looks like m
		{plain, []string{"bellwire://acme/+"}, ""},
		{plain, []string{"bellwire://acme/#"}, ""},
		{plain, []string{"bellwire://acme/-kitchen"}, ""},
		{plain, []string{"bellwire://acme/$x"}, ""},

		{"uri:spiffe://example.org/{tenant}/device/{device}", []string{"spiffe://example.org/acme/device/kitchen"}, "acme/kitchen"},
		{"uri:spiffe://example.org/{tenant}/device/{device}", []string{"spiffe://example.com/acme/device/kitchen"}, ""},
		{"uri:spiffe://example.org/{tenant}/device/{device}", []string{"spiffe://example.org/acme/device/x/device/kitchen"}, ""},
		{"uri:urn:dev:{device}:of:{tenant}", []string{"urn:dev:kitchen:of:acme"}, "acme/kitchen"},
		{"uri:urn:dev:{device}:of:{tenant}", []string{"urn:dev:a:of:b:of:acme"}, ""},

		{dns, []string{"kitchen.acme.devices.example"}, "acme/kitchen"},
		{dns, []string{"KITCHEN.Acme.devices.EXAMPLE"}, "acme/kitchen"},
		{dns, []string{"gw.example", "kitchen.acme.devices.example"}, "acme/kitchen"},
		{dns, []string{"x.kitchen.acme.devices.example"}, ""},
		{dns, []string{"acme.devices.example"}, ""},
		{dns, []string{"*.acme.devices.example"}, ""},
		{dns, []string{"kitchen.acme.devices.example."}, ""},
		{dns, []string{"kitchen.acme.devices.example.evil"}, ""},
		{dns, []string{"kitchen..devices.example"}, ""},
		{dns, []string{"kitchen.acme.devices.example", "hall.acme.devices.example"}, ""},
		{dns, []string{"kitchen.acme.devices.example", "KITCHEN.acme.devices.example"}, ""},
		{"dns:{device}.devices.example", []string{"kitchen.devices.example"}, "/kitchen"},
		{"dns:{device}.devices.example", []string{"a.kitchen.devices.example"}, ""},

		{"cn:{device}", []string{"kitchen"}, "/kitchen"},
		{"cn:{device}", []string{"kitchen", "hall"}, ""},
		{"cn:{device}", []string{"acme/kitchen"}, ""},
		{"cn:{device}", []string{"kitchen\x00"}, ""},
		{"cn:{tenant}.{device}", []string{"acme.kitchen"}, "acme/kitchen"},
		{"cn:{tenant}.{device}", []string{"acme.kitchen.stove"}, ""},
		{"cn:{tenant}/{device}", []string{"acme/kitchen"}, "acme/kitchen"},
		{"cn:{tenant}/{device}", []string{"acme/x/kitchen"}, ""},
		{"cn:{tenant}--{device}", []string{"a---b"}, ""},
	} {
		m, err := parseMapping(test.mapping)
		require.NoError(t, err)
		id, err := m.pick(test.names)
		if test.want == "" {
			require.Error(t, err, "%s: %q gave %s", test.mapping, test.names, id)
			continue
		}
		require.NoError(t, err, "%s: %q", test.mapping, test.names)
		require.Equal(t, test.want, id.String(), "%s: %q", test.mapping, test.names)
	}
}

func TestMappingsThatAreNone(t *testing.T) {
	for _, text := range []string{
		"", "uri", "uri:", "bellwire://{tenant}/{device}", "email:{device}", "URI:x:{device}",
		"uri:bellwire://{tenant}", "uri:bellwire://acme/x", "cn:{tenant}", "cn:{device}{device}", "cn:{device}.{tenant}.{tenant}",
		"cn:{tenant}{device}", "cn:{device}.{other}", "cn:{device} x", "cn:{device}\x00", "cn:{device}%41", "cn:{device}ä",
		"uri:{tenant}://{device}", "uri:/{tenant}/{device}", "uri:{tenant}/{device}", "uri:bellwire://x:1/{tenant}/{device}",
		"uri:bellwire://u@x/{tenant}/{device}", "uri:bellwire://{tenant}/{device}?x", "uri:bellwire://{tenant}/{device}#x",
		"uri:BELLWIRE://{tenant}/{device}", "uri:bellwire://{tenant}:{device}/x", "dns:{device}.Example", "cn:{device}\\x",
	} {
		_, err := parseMapping(text)
		require.Error(t, err, text)
	}
}

// TestSubjectNames reads names of certificates, with and without their parsed
// form.
func TestSubjectNames(t *testing.T) {
	ca := newAuthority(t, "devices")
	uri, err := parseMapping(DefaultMapping)
	require.NoError(t, err)
	cn, err := parseMapping("cn:{device}")
	require.NoError(t, err)
	dns, err := parseMapping("dns:{device}.{tenant}.example")
	require.NoError(t, err)

	c := template(t, kitchenURI, "https://x.example/")
	c.DNSNames = []string{"hall.beta.example"}
	c.Subject = pkix.Name{CommonName: "cellar"}
	made := forge(t, ca, c)
	for want, m := range map[string]mapping{"acme/kitchen": uri, "/cellar": cn, "beta/hall": dns} {
		id, err := m.identity(made)
		require.NoError(t, err)
		require.Equal(t, want, id.String())
	}

	c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "cellar"}, {Type: oidCommonName, Value: "attic"}}}
	_, err = cn.identity(forge(t, ca, c))
	require.ErrorIs(t, err, errManyNames, "crypto/x509 shows only the last one")

	// What url.URL would not show: an empty fragment.
	raw, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(kitchenURI + "#")}})
	require.NoError(t, err)
	c.URIs, c.DNSNames, c.ExtraExtensions = nil, nil, []pkix.Extension{{Id: oidSubjectAltName, Value: raw}}
	strange := forge(t, ca, c)
	require.Equal(t, kitchenURI, strange.URIs[0].String())
	_, err = uri.identity(strange)
	require.ErrorIs(t, err, errStrangeName)

	for _, value := range [][]byte{nil, {0x30}, {0x30, 1}, {0x30, 0, 0}, []byte("x")} {
		_, err := uri.identity(&x509.Certificate{Extensions: []pkix.Extension{{Id: oidSubjectAltName, Value: value}}})
		require.Error(t, err, "%x", value)
	}
}

// TestEveryIdentityHasOneName: what is rendered is read again as the same, or not
// at all.
func TestEveryIdentityHasOneName(t *testing.T) {
	for _, text := range []string{DefaultMapping, "dns:{device}.{tenant}.x.example", "cn:{tenant}.{device}", "cn:{device}/{tenant}"} {
		m, err := parseMapping(text)
		require.NoError(t, err)
		names := map[string]wire.Identity{}
		parts := []string{"a", "b", "a.b", "a-b", "a@b", "a:1", "A", "a..b", "a_b", "a:b@c"}
		for _, tenant := range parts {
			for _, device := range parts {
				id := wire.Identity{Tenant: tenant, Device: device}
				name := m.render(id)
				got, ok := m.match(name)
				if !ok {
					continue
				}
				if m.kind != "dns" {
					require.Equal(t, id, got, name)
				}
				other, twice := names[name]
				require.False(t, twice, "%s is %s and %s", name, id, other)
				names[name] = id
			}
		}
		require.GreaterOrEqual(t, len(names), 9, text)
	}
}
