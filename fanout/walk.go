package fanout

import "math"

// Walk is a place in what a topic lists on one loop. It is a small value that may be kept and gone on with later, on the
// same loop. Lists are walked from their end downwards, because removing a subscriber puts the last one into the gap:
//
//   - removed meanwhile: is not shown any more;
//   - listed all the time: is shown, perhaps twice;
//   - added meanwhile: may be shown, so callers list new subscribers between walks.
type Walk struct {
	roster *roster
	links  []*Link // still to be walked; the first one is under way once exact is false
	post   uint64  // of the message
	topic  uint32
	exact  bool // the exact subscribers are under way
	all    bool // groups are shown whatever the post
	up     bool // see rules.walkDownwards
	left   int  // how many of the list under way are still to be shown
	one    [1]Sub
}

// Walk begins a walk over everything that is listed now: the exact subscribers, then the members of each group whose
// filter matches. It is for looking; a message goes to whom [Topic.WalkFor] shows. For the loop only.
func (t *Topic) Walk(loop int) Walk {
	w := t.WalkFor(loop, 0)
	w.all = true
	return w
}

// WalkFor begins a walk over those who get what was posted with that number: everything that is listed now, except groups
// that were not in its audience when it was published. A group that appeared while the message was in the mailbox (where
// it is because of somebody else) must not get it, because messages behind it may not have been posted to this loop: the
// first message of a group is the first one whose publish knew of it.
//
// A walk may serve several messages that lie next to each other: it is begun with the post of the last, and a group gets
// those from [Link.From] on. For the loop only.
func (t *Topic) WalkFor(loop int, post uint64) Walk {
	r := &t.index.rosters[loop]
	w := Walk{roster: r, topic: t.id, post: post, exact: true, left: int(r.interests[t.id].listed)}
	if m := t.match(); m != nil {
		w.links = m.on(loop)
	}
	w.all = t.index.without.beginGroups
	if t.index.without.walkDownwards {
		w.up, w.left = true, 0
	}
	return w
}

// Next returns up to most subscribers (at least one, if any is left) and none at the end. link is nil for exact
// subscribers, else it says through which group they are listed. subs is the index's own memory: it must not be written
// to, and it is valid until the next call or the next change of a list of this loop. For the loop only.
func (w *Walk) Next(most int) (subs []Sub, link *Link) {
	if w.exact {
		if subs = w.take(w.roster.listed(w.topic, &w.one), most); len(subs) > 0 {
			return subs, nil
		}
		w.exact = false
		w.rewind()
	}
	for len(w.links) > 0 {
		link = w.links[0]
		if w.concerns(link) {
			if subs = w.take(link.group.members.subs, most); len(subs) > 0 {
				return subs, link
			}
		}
		w.links = w.links[1:]
		w.rewind()
	}
	return nil, nil
}

// concerns reports whether the group was in the audience of the message.
func (w *Walk) concerns(link *Link) bool {
	if w.all {
		return true
	}
	from := link.from.Load()
	return from != 0 && from <= w.post
}

func (w *Walk) rewind() {
	w.left = math.MaxInt
	if w.up {
		w.left = 0
	}
}

// take returns the next part of a list, which may have become shorter since the last call.
func (w *Walk) take(list []Sub, most int) []Sub {
	most = max(most, 1)
	if w.up {
		start := min(w.left, len(list))
		w.left = min(start+most, len(list))
		return list[start:w.left]
	}
	end := min(w.left, len(list))
	w.left = max(end-most, 0)
	return list[w.left:end:end]
}
