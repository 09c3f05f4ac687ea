package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Modes of what is written: a secret is its owner's alone.
const (
	secretMode = fs.FileMode(0o600)
	publicMode = fs.FileMode(0o644)
)

// newFile is a file to be written that is not there yet.
type newFile struct {
	path    string
	content []byte
	mode    fs.FileMode
}

// writeNew writes all of the files or none, and never over one that is there: a private key that is lost cannot be made
// again.
func writeNew(files ...newFile) error {
	for i, f := range files {
		if err := f.write(); err != nil {
			for _, made := range files[:i] {
				_ = os.Remove(made.path) // the first error says more
			}
			return err
		}
	}
	return nil
}

func (f newFile) write() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: move it away, or choose another place with --dir", f.path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(f.content)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(f.path) // the first error says more
	}
	return err
}

// maxCredentialFile bounds what is read; the largest is a revocation list of some million certificates.
const maxCredentialFile = 256 << 20

// readCredential reads a file of certificates, keys or lists. An empty one is an error: whoever named it meant something.
func readCredential(path string) ([]byte, error) {
	content, _, err := readChecked(path)
	return content, err
}

// readSecret reads one with a private key or the like in it, and refuses if more than its owner and group can read it, or
// more than its owner can change it.
func readSecret(path string) ([]byte, error) {
	content, mode, err := readChecked(path)
	if err != nil {
		return nil, err
	}
	// Windows has no such modes.
	if runtime.GOOS != "windows" && mode&0o027 != 0 {
		return nil, fmt.Errorf("is secret and has the mode %04o, with which others can read or change it: run chmod 0600 %s", mode, path)
	}
	return content, nil
}

// readAny reads a file that may be empty.
func readAny(path string) ([]byte, error) {
	content, _, err := readChecked(path)
	if errors.Is(err, errEmpty) {
		return nil, nil
	}
	return content, err
}

var errEmpty = errors.New("is empty")

// readChecked asks the open file for its mode, so that it is that of what is read.
func readChecked(path string) ([]byte, fs.FileMode, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, 0, withoutPath(err)
	case info.IsDir():
		return nil, 0, errors.New("is a directory: name a file in it")
	}
	content, err := io.ReadAll(io.LimitReader(file, maxCredentialFile+1))
	switch {
	case err != nil:
		return nil, 0, withoutPath(err)
	case len(content) == 0:
		return nil, 0, errEmpty
	case len(content) > maxCredentialFile:
		return nil, 0, fmt.Errorf("is larger than %s", Size(maxCredentialFile))
	}
	return content, info.Mode().Perm(), nil
}

// withoutPath is an error of a file whose name is said by whoever called.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("cannot be read: %w", path.Err)
	}
	return err
}
