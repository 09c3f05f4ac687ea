package main

import (
	"bytes"
	"io"
	"log/slog"
)

// newLogger logs to the standard error of e as s asks. The level may be changed at run time through the returned variable.
func newLogger(e *env, s LogSettings) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(slog.Level(s.Level))
	options := &slog.HandlerOptions{Level: level}
	if s.Format == logJSON || s.Format == logAuto && !e.terminal(e.stderr) {
		return slog.New(slog.NewJSONHandler(e.stderr, options)), level
	}
	w := e.stderr
	if e.colours(w) {
		w = &levelPainter{w: w}
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

// levelPainter colours the level of each line that a slog.TextHandler writes. The handler writes a record with one
// Write, with time and level first, so the first match is never something that a device sent.
type levelPainter struct {
	w io.Writer
}

const colourReset = "\x1b[0m"

// levelColours are the usual ones: red, yellow, green, grey.
var levelColours = []struct{ level, colour string }{
	{"level=ERROR", "\x1b[31m"},
	{"level=WARN", "\x1b[33m"},
	{"level=INFO", "\x1b[32m"},
	{"level=DEBUG", "\x1b[90m"},
}

// Write reports the length of line, not of what the colours made of it, as io.Writer asks.
func (p *levelPainter) Write(line []byte) (int, error) {
	start := bytes.Index(line, []byte("level="))
	if start < 0 {
		return p.w.Write(line)
	}
	for _, c := range levelColours {
		if !bytes.HasPrefix(line[start:], []byte(c.level)) {
			continue
		}
		painted := make([]byte, 0, len(line)+len(c.colour)+len(colourReset))
		painted = append(painted, line[:start]...)
		painted = append(painted, c.colour...)
		painted = append(painted, c.level...)
		painted = append(painted, colourReset...)
		painted = append(painted, line[start+len(c.level):]...)
		if _, err := p.w.Write(painted); err != nil {
			return 0, err
		}
		return len(line), nil
	}
	return p.w.Write(line)
}
