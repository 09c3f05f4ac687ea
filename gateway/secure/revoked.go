package secure

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"unicode"

	"github.com/bellwire/bellwire/wire"
)

// Revoked is what was withdrawn by hand, beside what CAs say in their lists.
type Revoked struct {
	Devices []wire.Identity
	// Tokens are the jti of tokens.
	Tokens []string
	// Serials are those of certificates in hexadecimal digits, with or without
	// colons. They count for all CAs.
	Serials []string
}

// ParseRevoked reads a list with a line for each: "device tenant/device",
// "token JTI" or "certificate SERIAL". Empty lines and what follows a # at the
// beginning of a word are for people. Errors name the line.
func ParseRevoked(text []byte) (Revoked, error) {
	var r Revoked
	for number, line := range lines(text) {
		words := wordsOf(line)
		if len(words) == 0 {
			continue
		}
		if err := r.take(words); err != nil {
			return Revoked{}, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return r, nil
}

func (r *Revoked) take(words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("want two words: device tenant/device, token JTI or certificate SERIAL")
	}
	switch what, which := words[0], words[1]; what {
	case "device":
		id, err := wire.ParseIdentity(which)
		if err != nil {
			return err
		}
		r.Devices = append(r.Devices, id)
	case "token":
		r.Tokens = append(r.Tokens, which)
	case "certificate":
		if _, err := ParseSerial(which); err != nil {
			return err
		}
		r.Serials = append(r.Serials, which)
	default:
		return fmt.Errorf("%q cannot be revoked: want device, token or certificate", what)
	}
	return nil
}

// lines are the lines of a text by their numbers, ends cut off.
func lines(text []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range strings.Lines(string(text)) {
			if number++; !yield(number, strings.TrimRight(line, "\r\n")) {
				return
			}
		}
	}
}

// wordsOf are the words of a line up to a comment.
func wordsOf(line string) []string {
	words := strings.FieldsFunc(line, unicode.IsSpace)
	for i, word := range words {
		if strings.HasPrefix(word, "#") {
			return words[:i]
		}
	}
	return words
}

// ParseSerial reads the serial number of a certificate in hexadecimal digits, as
// tools print it.
func ParseSerial(text string) (*big.Int, error) {
	digits := strings.ReplaceAll(strings.TrimPrefix(text, "0x"), ":", "")
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 || len(b) > 32 {
		return nil, fmt.Errorf("certificate %q: want the serial number in hexadecimal digits, as `openssl x509 -serial` shows it", text)
	}
	return new(big.Int).SetBytes(b), nil
}

// revokedSets is Revoked for looking up.
type revokedSets struct {
	devices map[wire.Identity]struct{}
	tokens  map[string]struct{}
	serials map[string]struct{}
}

func (r *revokedSets) device(id wire.Identity) bool {
	_, found := r.devices[id]
	return found
}

func (r *revokedSets) token(jti string) bool {
	_, found := r.tokens[jti]
	return found && jti != ""
}

func (r *revokedSets) serial(serial *big.Int) bool {
	if len(r.serials) == 0 {
		return false
	}
	_, found := r.serials[string(serial.Bytes())]
	return found
}

func (t *Trust) takeRevoked(cfg *Config) error {
	t.revoked = revokedSets{map[wire.Identity]struct{}{}, map[string]struct{}{}, map[string]struct{}{}}
	for i, id := range cfg.Revoked.Devices {
		if err := id.Check(); err != nil {
			return badField(err.Error(), "Revoked.Devices[%d]", i)
		}
		t.revoked.devices[id] = struct{}{}
	}
	for i, jti := range cfg.Revoked.Tokens {
		if jti == "" {
			return badField("is empty: want the jti of a token", "Revoked.Tokens[%d]", i)
		}
		t.revoked.tokens[jti] = struct{}{}
	}
	for i, text := range cfg.Revoked.Serials {
		serial, err := ParseSerial(text)
		if err != nil {
			return badField(err.Error(), "Revoked.Serials[%d]", i)
		}
		t.revoked.serials[string(serial.Bytes())] = struct{}{}
	}
	return nil
}
