package secure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// header is what counts of a token's header.
type header struct {
	keyID string // "": none
}

// claims is what counts of a token's payload.
type claims struct {
	subject   string
	expires   time.Time
	notBefore time.Time // zero: none
	issued    time.Time // zero: none
	id        string    // "": none
	publish   []string
	subscribe []string
	limited   bool   // publish or subscribe is there
	admin     string // "": none
}

var errNotJWT = errors.New("not a JWT")

// audience is the name of all gateways in the claim aud.
const audience = "bellwire"

// parseHeader refuses whatever would mean something that is not done here.
func parseHeader(text []byte) (header, error) {
	fields, err := object(text)
	if err != nil {
		return header{}, errNotJWT
	}
	var h header
	var alg string
	if err := fields.text("alg", &alg); err != nil || alg != algorithm {
		return header{}, errors.New("is not signed with EdDSA, the only algorithm that is taken")
	}
	if fields.has("crit") {
		return header{}, errors.New("has critical extensions (crit)")
	}
	if !fields.has("kid") {
		return h, nil
	}
	if err := fields.text("kid", &h.keyID); err != nil || h.keyID == "" {
		return header{}, errors.New("kid is not a text")
	}
	return h, nil
}

// parseClaims reads the payload of a token whose signature is good. Names count in
// their exact case, and none may stand twice.
func parseClaims(text []byte) (claims, error) {
	var c claims
	fields, err := object(text)
	if err != nil {
		return c, err
	}
	if !fields.has("exp") {
		return c, errors.New("exp is missing: a token has to end")
	}
	for _, claim := range []struct {
		name string
		to   *time.Time
	}{{"exp", &c.expires}, {"nbf", &c.notBefore}, {"iat", &c.issued}} {
		if err := fields.seconds(claim.name, claim.to); err != nil {
			return c, err
		}
	}
	for _, claim := range []struct {
		name string
		to   *string
	}{{"sub", &c.subject}, {"jti", &c.id}, {"admin", &c.admin}} {
		if err := fields.text(claim.name, claim.to); err != nil {
			return c, err
		}
	}
	if fields.has("admin") && c.admin == "" {
		return c, errors.New("admin is empty")
	}
	for _, claim := range []struct {
		name string
		to   *[]string
	}{{"pub", &c.publish}, {"sbs", &c.subscribe}} {
		if err := fields.texts(claim.name, claim.to); err != nil {
			return c, err
		}
		c.limited = c.limited || fields.has(claim.name)
	}
	return c, fields.checkAudience()
}

// jsonObject is an object whose members have not been read yet.
type jsonObject map[string]json.RawMessage

// object reads one JSON object. encoding/json would take the last of two members
// with the same name; another reader of the same token would take the first.
func object(text []byte) (jsonObject, error) {
	malformed := errors.New("is not a JSON object")
	if !utf8.Valid(text) {
		return nil, malformed
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, malformed
	}
	fields := jsonObject{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, malformed
		}
		key, ok := name.(string)
		if !ok {
			return nil, malformed
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, malformed
		}
		if fields.has(key) {
			return nil, errors.New("has a claim twice")
		}
		fields[key] = value
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, malformed
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	return fields, nil
}

func (o jsonObject) has(name string) bool {
	_, found := o[name]
	return found
}

// text reads a member that must be a string, if it is there.
func (o jsonObject) text(name string, to *string) error {
	raw, found := o[name]
	if !found {
		return nil
	}
	if raw[0] != '"' || json.Unmarshal(raw, to) != nil {
		return fmt.Errorf("%s is not a text", name)
	}
	return nil
}

// texts reads a member that must be a list of strings, if it is there.
func (o jsonObject) texts(name string, to *[]string) error {
	raw, found := o[name]
	if !found {
		return nil
	}
	var list []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return fmt.Errorf("%s is not a list of texts", name)
	}
	texts := make([]string, len(list))
	for i, entry := range list {
		if entry[0] != '"' || json.Unmarshal(entry, &texts[i]) != nil {
			return fmt.Errorf("%s is not a list of texts", name)
		}
	}
	*to = texts
	return nil
}

// lastSecond is the end of the year 9999, beyond which times have no text.
const lastSecond = 253402300799

// seconds reads a member that must be a time, if it is there: whole seconds since
// 1970 in plain digits. Fractions and exponents are legal JSON and mean nothing
// here but another way to write the same.
func (o jsonObject) seconds(name string, to *time.Time) error {
	raw, found := o[name]
	if !found {
		return nil
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n == 0 || n > lastSecond {
		return fmt.Errorf("%s is not a time in whole seconds", name)
	}
	*to = time.Unix(int64(n), 0)
	return nil
}

// checkAudience: a token that is for somebody else must not be taken
// [RFC 7519, 4.1.3].
func (o jsonObject) checkAudience() error {
	if !o.has("aud") {
		return nil
	}
	var one string
	var all []string
	if o.text("aud", &one) == nil {
		all = []string{one}
	} else if err := o.texts("aud", &all); err != nil {
		return err
	}
	for _, name := range all {
		if name == audience {
			return nil
		}
	}
	return errors.New("is for somebody else: aud does not name " + audience)
}

// visible reports whether a rune shows itself on one line and turns nothing
// around it.
func visible(r rune) bool {
	return r != utf8.RuneError && unicode.IsPrint(r)
}
