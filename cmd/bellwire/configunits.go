package main

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In text it is a plain number or one with a binary unit: 512, 64KiB, 32MiB, 1GiB.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText reads what String writes, and plain numbers.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), Size(1)
	for _, u := range sizeUnits {
		if rest, found := strings.CutSuffix(number, u.name); found {
			number, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("%q is not a size: write bytes, or a whole number of KiB, MiB or GiB such as 64KiB", text)
	}
	*s = Size(n) * unit
	return nil
}

// String uses the largest unit that leaves a whole number.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Rate is events per second; 0 is no limit, RateAuto lets the listening address decide.
type Rate int

// RateAuto is no limit on a loopback address and 1,000 per second on any other.
const RateAuto Rate = -1

// UnmarshalText reads auto, off, or a whole number with or without "/s".
func (r *Rate) UnmarshalText(text []byte) error {
	switch string(text) {
	case "auto":
		*r = RateAuto
		return nil
	case "off":
		*r = 0
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(string(text), "/s"), 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a rate: write a whole number per second such as 1000/s, or off, or auto", text)
	}
	*r = Rate(n)
	return nil
}

// String is auto, off or "1000/s".
func (r Rate) String() string {
	switch {
	case r == RateAuto:
		return "auto"
	case r == 0:
		return "off"
	}
	return strconv.Itoa(int(r)) + "/s"
}

// Memory is the memory of a process in bytes: 0 is no limit, MemoryAuto lets the process's cgroup decide.
type Memory int64

// MemoryAuto is the limit of the cgroup, and none if that has none.
const MemoryAuto Memory = -1

// UnmarshalText reads auto, off, or a Size.
func (m *Memory) UnmarshalText(text []byte) error {
	switch string(text) {
	case "auto":
		*m = MemoryAuto
		return nil
	case "off":
		*m = 0
		return nil
	}
	var size Size
	if err := size.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w, or off, or auto", err)
	}
	if size == 0 {
		return fmt.Errorf("0 is no memory: write a size such as 512MiB, or off, or auto")
	}
	*m = Memory(size)
	return nil
}

// String is auto, off or a Size.
func (m Memory) String() string {
	switch m {
	case MemoryAuto:
		return "auto"
	case 0:
		return "off"
	}
	return Size(m).String()
}

// LogLevel is a slog.Level with lower-case names.
type LogLevel slog.Level

// UnmarshalText reads debug, info, warn or error.
func (l *LogLevel) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug":
		*l = LogLevel(slog.LevelDebug)
	case "info":
		*l = LogLevel(slog.LevelInfo)
	case "warn":
		*l = LogLevel(slog.LevelWarn)
	case "error":
		*l = LogLevel(slog.LevelError)
	default:
		return fmt.Errorf("%q is not a log level: write debug, info, warn or error", text)
	}
	return nil
}

// String is the lower-case name.
func (l LogLevel) String() string { return strings.ToLower(slog.Level(l).String()) }

// LogFormat is how a log line looks.
type LogFormat string

const (
	logAuto LogFormat = "auto" // text on a terminal, JSON otherwise
	logText LogFormat = "text"
	logJSON LogFormat = "json"
)

// UnmarshalText reads auto, text or json.
func (f *LogFormat) UnmarshalText(text []byte) error {
	switch format := LogFormat(text); format {
	case logAuto, logText, logJSON:
		*f = format
		return nil
	}
	return fmt.Errorf("%q is not a log format: write auto, text or json", text)
}

func (f LogFormat) String() string { return string(f) }
