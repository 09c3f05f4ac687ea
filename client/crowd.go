package client

import (
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// Helpers take subscriptions that the gateway grants, for a while. So "too many" is
// no answer yet while there are some: who got it waits until one is gone.

// crowdedOut reports that a refusal may be due to other links that are helpers.
func (s *session) crowdedOut(l *link, code wire.Code) bool {
	if code != wire.CodeTooManySubs {
		return false
	}
	for _, o := range s.links {
		if o.helper && o != l {
			return true
		}
	}
	return false
}

// gone lets those who wait try again once a helper is gone, or has not become one.
func (s *session) gone(l *link) {
	if !l.helper {
		return
	}
	crowded := s.crowded
	s.crowded = nil
	// The application's own first: a helper that finds no place is only a gap.
	slices.SortStableFunc(crowded, func(a, b *link) int {
		switch {
		case a.helper == b.helper:
			return 0
		case b.helper:
			return -1
		}
		return 1
	})
	for _, c := range crowded {
		s.again(c)
	}
}
