package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for _, test := range []struct {
		text string
		want Size
		show string
	}{
		{"0", 0, "0"},
		{"512", 512, "512"},
		{"512B", 512, "512"},
		{"1KiB", 1024, "1KiB"},
		{"1024", 1024, "1KiB"},
		{"1025", 1025, "1025"},
		{"64 KiB", 65536, "64KiB"},
		{"1536KiB", 1536 << 10, "1536KiB"},
		{"32MiB", 32 << 20, "32MiB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"},
	} {
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(test.text)), test.text)
		require.Equal(t, test.want, s, test.text)
		require.Equal(t, test.show, s.String(), test.text)
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "64K", "64kb", "64KB", "1e3", "0x10", "9223372036854775808", "8589934592GiB"} {
		s := Size(7)
		require.Error(t, s.UnmarshalText([]byte(text)), text)
		require.Equal(t, Size(7), s, "an error leaves the value alone")
	}
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"0", "64KiB", "1025", "2GiB", "-5", "8589934592GiB", " 1 MiB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		require.GreaterOrEqual(t, s, Size(0))
		require.NoError(t, again.UnmarshalText([]byte(s.String())))
		require.Equal(t, s, again)
	})
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]Memory{"auto": MemoryAuto, "off": 0, "512MiB": 512 << 20, "1GiB": 1 << 30, "1025": 1025} {
		var m Memory
		require.NoError(t, m.UnmarshalText([]byte(text)))
		require.Equal(t, want, m)
		require.Equal(t, text, m.String())
	}
	for text, want := range map[string]string{"0": "0 is no memory", "-1": "or off, or auto", "lots": "or off, or auto"} {
		m := Memory(7)
		require.ErrorContains(t, m.UnmarshalText([]byte(text)), want)
		require.EqualValues(t, 7, m)
	}
}

func TestRate(t *testing.T) {
	for _, test := range []struct {
		text string
		want Rate
		show string
	}{
		{"auto", RateAuto, "auto"},
		{"off", 0, "off"},
		{"5", 5, "5/s"},
		{"5/s", 5, "5/s"},
	} {
		var r Rate
		require.NoError(t, r.UnmarshalText([]byte(test.text)))
		require.Equal(t, test.want, r)
		require.Equal(t, test.show, r.String())
	}
	for _, text := range []string{"", "0", "-1", "1.5/s", "5/m", "2147483648", "none"} {
		var r Rate
		require.Error(t, r.UnmarshalText([]byte(text)), text)
	}
}

func TestDurationText(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "500ms": 500 * time.Millisecond, "30s": 30 * time.Second, "1m": time.Minute, "1m30s": 90 * time.Second,
		"10m": 10 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "20h": 20 * time.Hour,
	} {
		require.Equal(t, want, durationText(d))
		var again time.Duration
		require.NoError(t, setText(&again, want))
		require.Equal(t, d, again)
	}
}

func TestLogWords(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		var level LogLevel
		require.NoError(t, level.UnmarshalText([]byte(text)))
		require.Equal(t, want, slog.Level(level))
		require.Equal(t, text, level.String())
	}
	require.Error(t, new(LogLevel).UnmarshalText([]byte("INFO")))
	require.Error(t, new(LogFormat).UnmarshalText([]byte("logfmt")))
}
