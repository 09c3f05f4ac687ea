package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What the setting audit may be beside a file.
const (
	auditLog = "log"
	auditOff = "off"
)

// newAudit is the logger that refusals go to: log itself, one that throws them away, or one that appends JSON lines to a
// file, which is returned to be opened anew and closed; it is nil otherwise.
func newAudit(where string, log *slog.Logger) (*slog.Logger, *auditFile, error) {
	switch where {
	case auditLog:
		return log, nil, nil
	case auditOff:
		return slog.New(slog.DiscardHandler), nil, nil
	}
	file := &auditFile{path: where, log: log, failing: rate.Sometimes{Interval: time.Minute}}
	if err := file.reopen(); err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewJSONHandler(file, nil)), file, nil
}

// auditFile appends to a file that may be moved away and opened anew meanwhile, as logrotate does.
type auditFile struct {
	path    string
	log     *slog.Logger // is told when nothing can be written
	failing rate.Sometimes

	mu   sync.Mutex
	file *os.File
}

// auditMode: what devices were refused is for the operator and for those of the group who read logs.
const auditMode = 0o640

// reopen opens the path, and goes on with what it finds there. If it cannot, it goes on with what was open.
func (f *auditFile) reopen() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, auditMode)
	if err != nil {
		return fmt.Errorf("audit: %w: name a file that can be written, or log, or off", err)
	}
	f.mu.Lock()
	old := f.file
	f.file = file
	f.mu.Unlock()
	return closeIfOpen(old)
}

// Write appends one line.
func (f *auditFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.file.Write(line)
	if err != nil {
		f.failing.Do(func() { f.log.Error("the audit log cannot be written", "error", err) })
	}
	return n, err
}

// Close ends it; what is written afterwards fails.
func (f *auditFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return closeIfOpen(f.file)
}

func closeIfOpen(file *os.File) error {
	if file == nil {
		return nil
	}
	return file.Close()
}
