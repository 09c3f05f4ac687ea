package main

import (
	"encoding"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// listSeparator parts the entries of a list that is written as one text; "\," stands for a comma in an entry.
const listSeparator = ','

// setText reads text into the setting that target points to. The types are those of the fields of Settings.
func setText(target any, text string) error {
	switch t := target.(type) {
	case *string:
		*t = text
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is not a yes or no: write true or false", text)
		}
		*t = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*t = n
	case *time.Duration:
		return setDuration(t, text)
	case *[]string:
		*t = nil
		if text != "" {
			*t = kong.SplitEscaped(text, listSeparator)
		}
	case encoding.TextUnmarshaler:
		return t.UnmarshalText([]byte(text))
	default:
		return fmt.Errorf("a setting of type %T cannot be read from text", target)
	}
	return nil
}

func setDuration(target *time.Duration, text string) error {
	if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return fmt.Errorf("%s has no unit: write %ss if seconds are meant", text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration: write one such as 500ms, 30s, 10m or 1h", text)
	}
	*target = d
	return nil
}

// valueText is what setText would read back.
func valueText(target any) string {
	switch t := target.(type) {
	case *string:
		return *t
	case *bool:
		return strconv.FormatBool(*t)
	case *int:
		return strconv.Itoa(*t)
	case *time.Duration:
		return durationText(*t)
	case *[]string:
		return kong.JoinEscaped(*t, listSeparator)
	case fmt.Stringer:
		return t.String()
	}
	return fmt.Sprint(target)
}

// durationText is time.Duration.String without zeros at the end: 10m, not 10m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// valueJSON is the value as JSON and YAML show it: numbers, booleans and lists as such, everything with a unit as text.
func valueJSON(target any) any {
	switch t := target.(type) {
	case *bool:
		return *t
	case *int:
		return *t
	case *[]string:
		return *t
	}
	return valueText(target)
}
