package wire

import (
	"fmt"
	"strings"
)

// Identity is who a device is: proven by its credentials, never merely claimed
// where there is an authenticator.
type Identity struct {
	Tenant string // 1–64 bytes
	Device string // 1–128 bytes
}

// String is "tenant/device".
func (id Identity) String() string { return id.Tenant + "/" + id.Device }

// ParseIdentity reads "tenant/device" and checks both.
func ParseIdentity(s string) (Identity, error) {
	tenant, device, ok := strings.Cut(s, "/")
	if !ok {
		return Identity{}, fmt.Errorf("identity %q: want tenant/device", s)
	}
	id := Identity{tenant, device}
	return id, id.Check()
}

// Check says what is wrong with an identity. The letters are those that mean
// nothing in topics, paths, subjects and log lines, so that an identity can
// stand in any of them.
func (id Identity) Check() error {
	if err := checkIdentityPart("tenant", id.Tenant, MaxTenant); err != nil {
		return err
	}
	return checkIdentityPart("device", id.Device, MaxDevice)
}

func checkIdentityPart(what, s string, most int) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("identity: %s %q: want 1 to %d bytes", what, s, most)
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		// A leading dot or dash would make a hidden file or an option of it.
		if !letter && (i == 0 || !strings.ContainsRune("._:@-", rune(c))) {
			return fmt.Errorf("identity: %s %q: byte %d (%q): want letters, digits and, not first, . _ : @ -", what, s, i, c)
		}
	}
	return nil
}
