package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// SessionList is what GET /v1/sessions answers: the first sessions by tenant and
// device. The query may name a topic (those that it would reach), a tenant, and a
// limit, 1 to MostRows, default DefaultRows.
type SessionList struct {
	// Sessions are the first ones that match; as long as the limit at most.
	Sessions []SessionInfo `json:"sessions"`
	// Total is how many match, listed or not.
	Total int `json:"total"`
	// Truncated says that not all that match are listed.
	Truncated bool `json:"truncated"`
}

// SessionInfo is one row of GET /v1/sessions.
type SessionInfo struct {
	Tenant        string   `json:"tenant"`
	Device        string   `json:"device"`
	Remote        string   `json:"remote"`
	Loop          int      `json:"loop"`
	Subscriptions []string `json:"subscriptions"`
	Behind        bool     `json:"behind"`
	PendingBytes  int      `json:"pending_bytes"`
}

// TopicList is what GET /v1/topics answers: the first topics by tenant and name.
// The query may name a tenant, and a limit as that of SessionList.
type TopicList struct {
	// Topics are the first ones that match; as long as the limit at most.
	Topics []TopicInfo `json:"topics"`
	// Total is how many match, listed or not.
	Total int `json:"total"`
	// Truncated says that not all that match are listed.
	Truncated bool `json:"truncated"`
}

// TopicInfo is one row of GET /v1/topics.
type TopicInfo struct {
	Tenant      string `json:"tenant"`
	Topic       string `json:"topic"`
	ID          uint32 `json:"id"`
	Life        string `json:"life"`
	Next        uint64 `json:"next"`
	Kept        uint64 `json:"kept"`
	Subscribers int    `json:"subscribers"`
}

// An admin list has DefaultRows rows unless it is asked for more, and never more
// than MostRows over all tenants: it is made in memory.
const (
	DefaultRows = 1_000
	MostRows    = 10_000
)

// rowLimit is how many rows a request wants.
func rowLimit(r *http.Request) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return DefaultRows, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MostRows {
		return 0, fmt.Errorf("limit: %q: want 1 to %d", text, MostRows)
	}
	return n, nil
}

func (g *Gateway) listSessions(w http.ResponseWriter, r *http.Request, who admin) {
	limit, err := rowLimit(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	topic := r.FormValue("topic")
	if topic != "" {
		if err := wire.CheckTopic([]byte(topic)); err != nil {
			fail(w, http.StatusBadRequest, "topic: "+err.Error())
			return
		}
	}
	tenant := r.FormValue("tenant")
	rows := firstRows[SessionInfo]{most: limit, compare: func(a, b *SessionInfo) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Device, b.Device))
	}}
	var key SessionInfo // one for all, or each session would cost one
	ok := g.onLoops(r, func(l *loop) {
		l.slots.each(func(s *session) {
			if s.tenant == nil || !who.sees(s.tenant.name) || tenant != "" && s.tenant.name != tenant || topic != "" && !s.wants(topic) {
				return
			}
			key.Tenant, key.Device = s.tenant.name, s.device
			if rows.counts(&key) {
				rows.add(l.info(s))
			}
		})
	})
	if !ok {
		fail(w, http.StatusServiceUnavailable, "the gateway is not running")
		return
	}
	list := SessionList{Sessions: rows.sorted(), Total: rows.total}
	list.Truncated = list.Total > len(list.Sessions)
	answer(w, list)
}

// wants reports whether a session is subscribed to a topic (BC-6).
func (s *session) wants(topic string) bool {
	for i := range s.subs {
		if s.subs[i].flags&subMute == 0 && wire.Match(s.subs[i].filter(), topic) {
			return true
		}
	}
	return false
}

func (sub *subscription) filter() string {
	if sub.group != nil {
		return sub.group.Filter()
	}
	return sub.topic.Name()
}

func (l *loop) info(s *session) SessionInfo {
	row := SessionInfo{
		Tenant: s.tenant.name, Device: s.device, Remote: addressOf(s).String(), Loop: l.n,
		Subscriptions: make([]string, 0, len(s.subs)), Behind: l.slots.at(s.n).flags&flagBehind != 0,
	}
	for i := range s.subs {
		row.Subscriptions = append(row.Subscriptions, s.subs[i].filter())
	}
	if s.out != nil {
		row.PendingBytes = s.out.bytes
	}
	return row
}

// tenantTopic is a topic with the name of its tenant.
type tenantTopic struct {
	tenant string
	*fanout.Topic
}

func (g *Gateway) listTopics(w http.ResponseWriter, r *http.Request, who admin) {
	limit, err := rowLimit(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	tenant := r.FormValue("tenant")
	found := firstRows[tenantTopic]{most: limit, compare: func(a, b *tenantTopic) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.Name(), b.Name()))
	}}
	var key tenantTopic // one for all, or each topic would cost one
	for _, t := range g.tenants.all() {
		if !who.sees(t.name) || tenant != "" && t.name != tenant {
			continue
		}
		t.index.Each(func(topic *fanout.Topic) bool {
			if key = (tenantTopic{t.name, topic}); found.counts(&key) {
				found.add(key)
			}
			return true
		})
	}
	topics := found.sorted()
	list := TopicList{Topics: make([]TopicInfo, len(topics)), Total: found.total, Truncated: found.total > len(topics)}
	now := g.now.Load()
	for i, t := range topics {
		stream := t.Stream()
		oldest, next := stream.Kept(now)
		list.Topics[i] = TopicInfo{
			Tenant: t.tenant, Topic: t.Name(), ID: t.ID(), Life: wire.Life(stream.Life()).String(),
			Next: next, Kept: next - oldest,
		}
	}
	if !g.onLoops(r, func(l *loop) {
		for i, t := range topics {
			list.Topics[i].Subscribers += countSubscribers(l, t.Topic)
		}
	}) {
		fail(w, http.StatusServiceUnavailable, "the gateway is not running")
		return
	}
	answer(w, list)
}

// countSubscribers counts the sessions that a message would be walked to; one
// that matches twice counts twice.
func countSubscribers(l *loop, t *fanout.Topic) (n int) {
	for walk := t.Walk(l.n); ; {
		subs, _ := walk.Next(1 << 30)
		if len(subs) == 0 {
			return n
		}
		n += len(subs)
	}
}

// firstRows keeps the first most rows in the order of compare, of rows that come
// in any order, and counts them all. It holds twice as many at most, so that it
// sorts seldom.
type firstRows[T any] struct {
	most    int
	compare func(a, b *T) int

	rows  []T
	last  *T // the last one that was kept when there were too many
	total int
}

// counts counts a row, of which only what compare looks at is needed, and reports
// whether it may be among the first; then add has to be called with all of it.
func (f *firstRows[T]) counts(row *T) bool {
	f.total++
	return f.last == nil || f.compare(row, f.last) < 0
}

func (f *firstRows[T]) add(row T) {
	if f.rows = append(f.rows, row); len(f.rows) >= 2*f.most {
		rows := f.sorted()
		last := rows[len(rows)-1]
		f.last = &last
	}
}

// sorted is the first rows, in order; never nil.
func (f *firstRows[T]) sorted() []T {
	slices.SortFunc(f.rows, func(a, b T) int { return f.compare(&a, &b) })
	if len(f.rows) > f.most {
		clear(f.rows[f.most:])
		f.rows = f.rows[:f.most]
	}
	if f.rows == nil {
		f.rows = []T{}
	}
	return f.rows
}
