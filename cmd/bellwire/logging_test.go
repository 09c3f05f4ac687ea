package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func logged(terminal bool, noColor string, s LogSettings, write func(*slog.Logger, *slog.LevelVar)) string {
	var out bytes.Buffer
	e := &env{
		getenv: getenvOf(map[string]string{"NO_COLOR": noColor}), stderr: &out,
		terminal: func(io.Writer) bool { return terminal },
	}
	write(newLogger(e, s))
	return out.String()
}

func hello(logger *slog.Logger, _ *slog.LevelVar) { logger.Warn("hello", "topic", "level=ERROR") }

func TestLogFormats(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		noColor  string
		format   LogFormat
		json     bool
		colours  bool
	}{
		{"a terminal gets coloured text", true, "", logAuto, false, true},
		{"NO_COLOR takes the colours", true, "1", logAuto, false, false},
		{"anything else gets JSON", false, "", logAuto, true, false},
		{"text if asked for", false, "", logText, false, false},
		{"JSON if asked for", true, "", logJSON, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := logged(test.terminal, test.noColor, LogSettings{Format: test.format}, hello)
			require.Equal(t, test.json, json.Valid([]byte(out)), out)
			require.Equal(t, test.colours, strings.Contains(out, "\x1b[33mlevel=WARN\x1b[0m "), out)
			require.Equal(t, test.colours, strings.Contains(out, "\x1b"), out)
			require.Contains(t, out, "hello")
		})
	}
}

func TestOnlyTheLevelIsColoured(t *testing.T) {
	out := logged(true, "", LogSettings{Format: logText}, hello)
	require.Equal(t, 1, strings.Count(out, colourReset), "what a device names itself is not painted: %q", out)
	require.Contains(t, out, `topic="level=ERROR"`)
	plain := logged(true, "1", LogSettings{Format: logText}, hello)
	painted := strings.NewReplacer("\x1b[33m", "", colourReset, "").Replace(out)
	require.Equal(t, plain[strings.Index(plain, " level="):], painted[strings.Index(painted, " level="):])
}

func TestLogLevelChangesAtRunTime(t *testing.T) {
	out := logged(false, "", LogSettings{Level: LogLevel(slog.LevelWarn), Format: logText}, func(logger *slog.Logger, level *slog.LevelVar) {
		logger.Info("one")
		level.Set(slog.LevelInfo)
		logger.Info("two")
		level.Set(slog.LevelError)
		logger.Warn("three")
	})
	require.NotContains(t, out, "one")
	require.Contains(t, out, "two")
	require.NotContains(t, out, "three")
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestLevelPainterKeepsTheContractOfAWriter(t *testing.T) {
	for _, line := range []string{"time=x level=INFO msg=y\n", "level=NOTICE msg=y\n", "no level\n", ""} {
		var out bytes.Buffer
		n, err := (&levelPainter{w: &out}).Write([]byte(line))
		require.NoError(t, err)
		require.Equal(t, len(line), n)
	}
	n, err := (&levelPainter{w: brokenPipe{}}).Write([]byte("level=INFO"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Zero(t, n)
}
