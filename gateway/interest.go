package gateway

import (
	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// interest is what the subscriptions of one session that match a topic ask for
// together: a message comes once, however many match [W-4.4].
type interest struct {
	any         bool
	exact       bool        // some subscription names the topic, so its id is known
	group       bool        // some wildcard matches
	track       bool        // some subscription counts
	groupTracks bool        // some wildcard does
	noEcho      bool        // no subscription wants the session's own messages
	policy      wire.Policy // the one that keeps most
}

// interest asks all subscriptions. g is a group that is known to match, or nil.
func (s *session) interest(t *fanout.Topic, g *fanout.Group) interest {
	in := interest{noEcho: true, policy: wire.LatestOnly}
	for i := range s.subs {
		sub := &s.subs[i]
		switch {
		case sub.topic != nil:
			if sub.topic != t || sub.flags&subMute != 0 {
				continue
			}
			in.exact = true
		case sub.group == g || wire.Match(sub.group.Filter(), t.Name()):
			in.group = true
			in.groupTracks = in.groupTracks || sub.flags&subTracks != 0
		default:
			continue
		}
		in.any = true
		in.track = in.track || sub.flags&subTracks != 0
		in.noEcho = in.noEcho && sub.flags&subNoEcho != 0
		if keeps(sub.policy) > keeps(in.policy) {
			in.policy = sub.policy
		}
	}
	return in
}

// keeps orders policies by how much they keep.
func keeps(p wire.Policy) int {
	switch p {
	case wire.LatestOnly:
		return 0
	case wire.DropOldest:
		return 1
	case wire.Lossless:
	}
	return 2
}
