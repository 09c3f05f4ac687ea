package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Lifetime is how long something that is issued is valid. In text it is a number of days or a duration: 365d, 24h, 90m.
type Lifetime time.Duration

const day = 24 * time.Hour

// mostDays keeps any lifetime within a time.Duration and the years that certificates know.
const mostDays = 100 * 366

// UnmarshalText reads what String writes.
func (l *Lifetime) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%q is not a time to live: write days such as 365d, or a duration such as 24h or 90m", text)
	if days, found := strings.CutSuffix(string(text), "d"); found {
		n, err := strconv.Atoi(days)
		if err != nil || n <= 0 || n > mostDays {
			return wrong
		}
		*l = Lifetime(n) * Lifetime(day)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 || d > mostDays*day {
		return wrong
	}
	*l = Lifetime(d)
	return nil
}

// String writes whole days as such if there is more than one.
func (l Lifetime) String() string {
	if d := time.Duration(l); d > day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return durationText(time.Duration(l))
}

// fromNow says when something is or was, in words: "in 12 days", "3h ago".
func fromNow(at, now time.Time) string {
	d, form := at.Sub(now), "in %s"
	if d < 0 {
		d, form = -d, "%s ago"
	}
	switch {
	case d >= 2*day:
		return fmt.Sprintf(form, strconv.FormatInt(int64(d/day), 10)+" days")
	case d >= time.Hour:
		d = d.Truncate(time.Minute)
	default:
		d = d.Truncate(time.Second)
	}
	return fmt.Sprintf(form, durationText(d))
}
