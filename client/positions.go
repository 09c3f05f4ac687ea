package client

import (
	"container/list"
	"slices"

	"github.com/bellwire/bellwire/wire"
)

// maxTopics is how many topics of a wildcard a subscription can resume. Each
// costs about 200 bytes here, and a SUBSCRIBE at every reconnect.
const maxTopics = 1024

// positions remembers how far each life of each topic was taken. The topic that
// was not heard of for the longest time goes first when there are too many.
type positions struct {
	byTopic map[string]*list.Element // of *topicLives
	recent  list.List                // newest first
}

type topicLives struct {
	topic string
	lives []lifeAt // oldest first, at most wire.MaxCursor; those that are over go first
}

type lifeAt struct {
	wire.Position
	// lost: the application was told that it ended, though it may come back.
	lost bool
	// over: it was told that it ended for ever. The place stays until a gateway tells
	// nothing of the life any more: another one may still replay it.
	over bool
}

func newPositions() *positions {
	return &positions{byTopic: make(map[string]*list.Element)}
}

// at is the offset that was taken last.
func (p *positions) at(topic string, life wire.Life) (uint64, bool) {
	if l := p.find(topic, life); l != nil {
		return l.Offset, true
	}
	return 0, false
}

func (p *positions) find(topic string, life wire.Life) *lifeAt {
	e := p.byTopic[topic]
	if e == nil {
		return nil
	}
	t := e.Value.(*topicLives)
	for i := range t.lives {
		if t.lives[i].Life == life {
			return &t.lives[i]
		}
	}
	return nil
}

// set moves a life to an offset; a life that was lost is back, one that is over is not.
func (p *positions) set(topic string, life wire.Life, offset uint64) {
	e := p.byTopic[topic]
	if e == nil {
		if len(p.byTopic) == maxTopics {
			p.forget(p.recent.Back().Value.(*topicLives).topic)
		}
		e = p.recent.PushFront(&topicLives{topic: topic})
		p.byTopic[topic] = e
	} else if p.recent.Front() != e {
		p.recent.MoveToFront(e)
	}
	t := e.Value.(*topicLives)
	for i := range t.lives {
		if t.lives[i].Life == life {
			t.lives[i] = lifeAt{Position: wire.Position{Life: life, Offset: offset}, over: t.lives[i].over}
			return
		}
	}
	if len(t.lives) == wire.MaxCursor {
		t.lives = less(t.lives)
	}
	t.lives = append(t.lives, lifeAt{Position: wire.Position{Life: life, Offset: offset}})
}

// less is lives without the one that is of the least use: the oldest that is over, else the oldest.
func less(lives []lifeAt) []lifeAt {
	i := max(0, slices.IndexFunc(lives, func(l lifeAt) bool { return l.over }))
	return slices.Delete(lives, i, i+1)
}

// drop forgets one life, and the topic with its last one.
func (p *positions) drop(topic string, life wire.Life) {
	e := p.byTopic[topic]
	if e == nil {
		return
	}
	t := e.Value.(*topicLives)
	t.lives = slices.DeleteFunc(t.lives, func(l lifeAt) bool { return l.Life == life })
	if len(t.lives) == 0 {
		p.forget(topic)
	}
}

func (p *positions) forget(topic string) {
	if e := p.byTopic[topic]; e != nil {
		p.recent.Remove(e)
		delete(p.byTopic, topic)
	}
}

// lives is a copy of a topic's lives, oldest first.
func (p *positions) lives(topic string) []lifeAt {
	if e := p.byTopic[topic]; e != nil {
		return slices.Clone(e.Value.(*topicLives).lives)
	}
	return nil
}

// cursor is a topic's positions in wire form: at most room bytes of them, the
// newest lives if not all fit, and those that are over only if all others do.
func (p *positions) cursor(topic string, room int) wire.Cursor {
	lives := p.lives(topic)
	for {
		var c wire.Cursor
		for _, l := range lives {
			c = c.AppendPosition(l.Position)
		}
		if len(c) <= room || len(lives) == 0 {
			return c
		}
		lives = less(lives)
	}
}

// topics lists the topics, newest first.
func (p *positions) topics() []string {
	names := make([]string, 0, len(p.byTopic))
	for e := p.recent.Front(); e != nil; e = e.Next() {
		names = append(names, e.Value.(*topicLives).topic)
	}
	return names
}

// list is everything, the topic heard of last at the end.
func (p *positions) list() []TopicPosition {
	var all []TopicPosition
	for e := p.recent.Back(); e != nil; e = e.Prev() {
		t := e.Value.(*topicLives)
		for _, l := range t.lives {
			all = append(all, TopicPosition{t.topic, l.Position})
		}
	}
	return all
}
