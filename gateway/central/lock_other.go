//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package central

import (
	"os"
	"path/filepath"
)

// lockDir keeps nobody out here: this system has no lock that ends with its process.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
}
