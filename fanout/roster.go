package fanout

// roster is what one loop knows about its own subscribers: exact subscribers by topic, groups by filter. Only the loop
// touches it, so it needs no lock.
type roster struct {
	interests map[uint32]interest // by topic id
	lists     []*list             // of topics with two subscribers or more
	free      []uint32            // places in lists that are not in use
	groups    map[string]*Group   // by filter

	_ [64]byte // rosters lie in one array: keep what loops write on lines of their own
}

// interest is a loop's interest in one topic. It holds no pointer and, with its key, fills 16 bytes: most topics of a
// large index have one subscriber, which then costs little more than that.
type interest struct {
	holds  uint32
	listed uint32
	who    uint32 // listed 1: the subscriber; more: place in lists
}

func (r *roster) set(topic uint32, was, is interest) (changed bool) {
	if is.holds == 0 && is.listed == 0 {
		delete(r.interests, topic)
		return was.holds != 0 || was.listed != 0
	}
	if r.interests == nil {
		r.interests = make(map[uint32]interest)
	}
	r.interests[topic] = is
	return was.holds == 0 && was.listed == 0
}

// hold reports whether the loop was not interested before.
func (r *roster) hold(topic uint32) (first bool) {
	was := r.interests[topic]
	is := was
	is.holds++
	return r.set(topic, was, is)
}

// release reports whether the loop is no longer interested.
func (r *roster) release(topic uint32) (last bool) {
	was := r.interests[topic]
	if was.holds == 0 {
		return false
	}
	is := was
	is.holds--
	return r.set(topic, was, is)
}

// add reports whether the loop was not interested before.
func (r *roster) add(topic uint32, s Sub) (first bool) {
	was := r.interests[topic]
	is := was
	switch {
	case was.listed == 0:
		is.who = uint32(s)
	case was.listed == 1 && was.who == uint32(s):
		return false
	case was.listed == 1:
		is.who = r.newList(Sub(was.who), s)
	case !r.lists[was.who].add(s):
		return false
	}
	is.listed++
	return r.set(topic, was, is)
}

// remove reports whether s was listed, and whether the loop is no longer interested.
func (r *roster) remove(topic uint32, s Sub) (removed, last bool) {
	was := r.interests[topic]
	is := was
	switch {
	case was.listed == 0:
		return false, false
	case was.listed == 1:
		if was.who != uint32(s) {
			return false, false
		}
	default:
		l := r.lists[was.who]
		if !l.remove(s) {
			return false, false
		}
		if was.listed == 2 {
			is.who = uint32(l.subs[0])
			r.freeList(was.who)
		}
	}
	is.listed--
	return true, r.set(topic, was, is)
}

// listed returns the exact subscribers of a topic; a single one is written to one, which has no list.
func (r *roster) listed(topic uint32, one *[1]Sub) []Sub {
	is := r.interests[topic]
	switch is.listed {
	case 0:
		return nil
	case 1:
		one[0] = Sub(is.who)
		return one[:]
	default:
		return r.lists[is.who].subs
	}
}

func (r *roster) newList(a, b Sub) uint32 {
	l := &list{subs: []Sub{a, b}}
	if n := len(r.free); n > 0 {
		at := r.free[n-1]
		r.free = r.free[:n-1]
		r.lists[at] = l
		return at
	}
	r.lists = append(r.lists, l)
	return uint32(len(r.lists) - 1)
}

func (r *roster) freeList(at uint32) {
	r.lists[at] = nil
	r.free = append(r.free, at)
}
