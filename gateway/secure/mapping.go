package secure

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// DefaultMapping names a device by a URI in the certificate, as in
// bellwire://acme/kitchen.
const DefaultMapping = "uri:bellwire://{tenant}/{device}"

const (
	tenantVariable = "{tenant}"
	deviceVariable = "{device}"
)

// mapping says where in a certificate the device's name is, and how it is
// written. A name is read only if it is exactly what rendering the identity
// gives: nothing is decoded, folded or trimmed, so two names are never one
// device by accident, and one is never two.
type mapping struct {
	kind                   string // uri, dns or cn
	before, between, after string // the text around the variables
	hasTenant              bool
	deviceFirst            bool
}

// parseMapping reads a kind and a template.
func parseMapping(text string) (mapping, error) {
	kind, template, _ := strings.Cut(text, ":")
	m := mapping{kind: kind, hasTenant: strings.Contains(template, tenantVariable)}
	switch {
	case kind != "uri" && kind != "dns" && kind != "cn":
		return m, fmt.Errorf("%q is no mapping: write uri:, dns: or cn: and a template, such as %s", text, DefaultMapping)
	case strings.Count(template, deviceVariable) != 1 || strings.Count(template, tenantVariable) > 1:
		return m, fmt.Errorf("%q: want %s once and %s at most once", text, deviceVariable, tenantVariable)
	}
	first, second := deviceVariable, ""
	if m.hasTenant {
		second = tenantVariable
		if strings.Index(template, tenantVariable) < strings.Index(template, deviceVariable) {
			first, second = second, first
		}
		m.deviceFirst = first == deviceVariable
	}
	m.before, m.after, _ = strings.Cut(template, first)
	if second != "" {
		m.between, m.after, _ = strings.Cut(m.after, second)
		if m.between == "" {
			return m, fmt.Errorf("%q: put something between the variables, or nobody knows where one ends", text)
		}
	}
	return m, m.check(text)
}

// check looks at the literal text of a template.
func (m mapping) check(text string) error {
	literal := m.before + m.between + m.after
	for i := range len(literal) {
		if c := literal[i]; c <= ' ' || c > '~' || strings.IndexByte("{}%?#@\\", c) >= 0 {
			return fmt.Errorf("%q: %q cannot stand in a template", text, c)
		}
	}
	switch m.kind {
	case "uri":
		scheme, _, found := strings.Cut(m.before, ":")
		u, err := url.Parse(m.render(wire.Identity{Tenant: "t", Device: "d"}))
		if !found || err != nil || u.Scheme != scheme || !plain(u) {
			return fmt.Errorf("%q: want a URI with a scheme of its own and without a port, such as %s", text, DefaultMapping)
		}
	case "dns":
		if literal != strings.ToLower(literal) {
			return fmt.Errorf("%q: write a DNS name in lower case", text)
		}
	}
	return nil
}

// render is what match reads.
func (m mapping) render(id wire.Identity) string {
	switch {
	case !m.hasTenant:
		return m.before + id.Device + m.after
	case m.deviceFirst:
		return m.before + id.Device + m.between + id.Tenant + m.after
	}
	return m.before + id.Tenant + m.between + id.Device + m.after
}

var (
	errNoName      = errors.New("names no device")
	errManyNames   = errors.New("names more than one device")
	errStrangeName = errors.New("its name is not that of a device")
)

// identity is the device that a certificate names, with no tenant if the
// template has none.
func (m mapping) identity(c *x509.Certificate) (wire.Identity, error) {
	names, err := m.names(c)
	if err != nil {
		return wire.Identity{}, errStrangeName
	}
	return m.pick(names)
}

// names are all that stand where the device's name should be.
func (m mapping) names(c *x509.Certificate) ([]string, error) {
	switch m.kind {
	case "uri":
		return subjectURIs(c)
	case "dns":
		return c.DNSNames, nil
	}
	var names []string
	for _, attribute := range c.Subject.Names {
		if attribute.Type.Equal(oidCommonName) {
			name, ok := attribute.Value.(string)
			if !ok {
				return nil, errStrangeName
			}
			names = append(names, name)
		}
	}
	return names, nil
}

var (
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// subjectURIs are the URIs of the certificate, byte for byte: those that
// crypto/x509 shows are parsed, and what is parsed may be written in two ways.
func subjectURIs(c *x509.Certificate) ([]string, error) {
	const tagURI = 6
	var uris []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(rest) > 0 {
			return nil, errStrangeName
		}
		for _, name := range names {
			if name.Class == asn1.ClassContextSpecific && name.Tag == tagURI {
				uris = append(uris, string(name.Bytes))
			}
		}
	}
	return uris, nil
}

// pick reads the one name that is meant for this mapping. Others of the same kind
// may stand beside it if they are evidently for something else.
func (m mapping) pick(names []string) (wire.Identity, error) {
	var meant []string
	for _, name := range names {
		if m.means(name) {
			meant = append(meant, name)
		}
	}
	switch len(meant) {
	case 0:
		return wire.Identity{}, errNoName
	case 1:
		if id, ok := m.match(meant[0]); ok {
			return id, nil
		}
		return wire.Identity{}, errStrangeName
	}
	return wire.Identity{}, errManyNames
}

// means reports whether a name is for this mapping, well written or not: the
// scheme of a URI and the domain of a DNS name say so, in any case of letters.
func (m mapping) means(name string) bool {
	switch m.kind {
	case "uri":
		scheme, _, _ := strings.Cut(m.before, ":")
		got, _, _ := strings.Cut(name, ":")
		return strings.EqualFold(got, scheme)
	case "dns":
		return strings.HasSuffix(strings.ToLower(name), m.after)
	}
	return true
}

// match reads a name.
func (m mapping) match(name string) (wire.Identity, bool) {
	if m.kind == "dns" {
		// DNS names are the same in any case; so are they to a CA and to its
		// constraints, and they must not become two devices here.
		name = strings.ToLower(name)
	}
	middle, ok := strings.CutPrefix(name, m.before)
	if !ok {
		return wire.Identity{}, false
	}
	if middle, ok = strings.CutSuffix(middle, m.after); !ok {
		return wire.Identity{}, false
	}
	id, ok := m.split(middle)
	if !ok || !m.wellFormed(id, name) {
		return wire.Identity{}, false
	}
	return id, true
}

// split parts the variables, if there is only one way to.
func (m mapping) split(text string) (wire.Identity, bool) {
	if !m.hasTenant {
		return wire.Identity{Device: text}, true
	}
	at := strings.Index(text, m.between)
	if at < 0 || at != strings.LastIndex(text, m.between) {
		return wire.Identity{}, false
	}
	first, second := text[:at], text[at+len(m.between):]
	if m.deviceFirst {
		return wire.Identity{Tenant: second, Device: first}, true
	}
	return wire.Identity{Tenant: first, Device: second}, true
}

// wellFormed checks what was read from name: letters of an identity only, so no
// NUL, escape, query or fragment, and in the place that the template means.
func (m mapping) wellFormed(id wire.Identity, name string) bool {
	checked := id
	if !m.hasTenant {
		checked.Tenant = "any"
	}
	if checked.Check() != nil {
		return false
	}
	switch m.kind {
	case "uri":
		u, err := url.Parse(name)
		return err == nil && plain(u)
	case "dns":
		return !strings.Contains(id.Tenant+id.Device, ".") // each is one label
	}
	return true
}

// plain reports whether the authority of a URI is a bare host. "@" and ":" may
// stand in an identity and would make a user or a port of it; and capital letters
// are the same host to a CA's name constraints, but not the same tenant.
func plain(u *url.URL) bool {
	return u.User == nil && !strings.Contains(u.Host, ":") && u.Host == strings.ToLower(u.Host) &&
		u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.RawPath == ""
}
