"""What a Bellwire device knows beyond one connection: what it had, and where to connect next. No sockets and no clock."""
import random

from bellwire_codec import (AT_ONCE, CURSOR, ELSEWHERE, FINE, LATER, LIVE_ONLY, MAX63, NOT_THIS_IDENTITY,
                            NOT_THIS_SOFTWARE, OUT_OF_ORDER, ProtocolError)

OWN = 3     # the reason of a GAP that is no loss


class Jump(ProtocolError):
    """The error of [W-6.7] rule 4: something is missing and nobody announced it."""

    def __init__(self, why):
        super().__init__(OUT_OF_ORDER, why)


class Stream:
    """One life of one topic, as told on this connection. next is None while it is unknown."""

    def __init__(self, topic, life, next_, sparse):
        self.topic, self.life, self.next, self.sparse = topic, life, next_, sparse


def missing(topic, life, count, reason):
    """The event; count 0: unknown."""
    return {"event": "gap", "topic": topic, "life": life, "count": count, "reason": reason}


def taken(topic, payload, life="", position=0):
    return {"event": "message", "topic": topic, "life": life, "position": position, "payload": payload}


class Counter:
    """Counts positions [W-6.7]. `had` = {topic: {life: offset}} and `over`, the same of lives that have ended for good
    [W-6.5], outlive the connection, the rest does not.

    All subscriptions of the device have the same options, so either all of its topics are tracked or none.
    """

    def __init__(self, had=None):
        self.had = {} if had is None else had
        self.over = {}
        self.begin(False)

    def begin(self, tracks):
        """A new connection, or its WELCOME: forget all ids, indices and subscriptions."""
        self.tracks, self.subs, self.topics, self.bound, self.main, self.resuming = tracks, {}, {}, {}, {}, {}

    def cursor(self, topic):
        """At most 64 positions, those that were taken from last."""
        return list((self.over.get(topic, {}) | self.had.get(topic, {})).items())[-64:]

    def handle(self, name, f):
        """Yields the events of a frame. Raises Jump."""
        handler = getattr(self, "_" + name.lower(), None)
        return handler(f) or () if handler else ()

    def _subscribed(self, f):
        if f["sub"] not in self.subs or f["code"] >> 5 != FINE:
            return
        filter_, start, cursor = self.subs[f["sub"]]
        if f["id"]:
            self.topics[f["id"]] = filter_
        if start == CURSOR and f["code"] != LIVE_ONLY:
            self.resuming[f["id"]] = {life for life, _ in cursor}
        elif cursor:
            yield missing(filter_, "", 0, 0)

    def _topic(self, f):
        self.topics[f["id"]] = f["name"]

    def _stream(self, f):
        key, topic, life = (f["id"], f["origin"]), self.topics.get(f["id"]), f["life"]
        if topic is None or not self.tracks:
            return
        had = self.had.setdefault(topic, {})
        if key in self.bound and self.bound[key].life != life:
            self._over(self.bound[key])
        s = self.bound[key] = Stream(topic, life, f["next"], bool(f["flags"] & 2))
        if f["flags"] & 1:
            self.main[f["id"]] = f["origin"]
        resuming = self.resuming.get(f["id"])
        if life in self.over.get(topic, {}):
            had[life] = self.over[topic].pop(life)          # another gateway keeps messages of it
        had.setdefault(life, s.next - 1 if resuming is None else 0)
        if resuming:
            resuming.discard(life)
        yield from self._upto(s, 0)

    def _upto(self, s, reason):
        """All before s.next that was not had is missing."""
        had = self.had[s.topic]
        if not s.sparse and s.next - 1 > had[s.life]:
            count, had[s.life] = s.next - 1 - had[s.life], s.next - 1
            if reason != OWN:
                yield missing(s.topic, s.life, count, reason)

    def _gap(self, f):
        s, count, reason = self.bound.get((f["id"], f["origin"])), f["count"], f["reason"]
        if s is not None and not s.sparse and s.next is not None and count > 0:
            if s.next + count > MAX63 + 1:
                raise Jump(f"gap of {count} in {s.life} of {s.topic} goes beyond the last position")
            s.next += count
            yield from self._upto(s, reason)
            return
        if s is not None and count == 0:
            s.next = None
        if reason != OWN:
            yield missing(self.topics.get(f["id"], ""), s.life if s else "", count, reason)

    def _message(self, f):
        if "name" in f:                                     # belongs to no position [W-6.2]
            yield taken(f["name"], f["payload"])
            return
        topic = self.topics.get(f["id"])
        s = self.bound.get((f["id"], f.get("origin", self.main.get(f["id"]))))
        if topic is None:
            yield missing("", "", 1, 0)                     # no room for its name [W-3.1]
        elif s is not None:
            yield from self._counted(s, f)
        elif self.tracks:
            raise Jump(f"message of a stream of {topic} that was not told")
        else:
            yield taken(topic, f["payload"])

    def _counted(self, s, f):
        full = f["offset_form"] in ("full", "tlvs")
        position = f["offset"] if full else None if s.sparse else s.next
        if position is None or position > MAX63:
            raise Jump(f"message of {s.topic} whose position is not known")
        if f["offset_form"] == "low" and f["offset"] != position & 0xFF:
            raise Jump(f"check byte {f['offset']:02x} where {position} comes next in {s.life} of {s.topic}")
        if full and not s.sparse and s.next is not None:
            if position < s.next:
                return
            if position > s.next:
                raise Jump(f"position {position} where {s.next} comes next in {s.life} of {s.topic}")
        s.next = position + 1
        had = self.had[s.topic]
        if position > had[s.life]:
            del had[s.life]                                 # to the end, where the cursor looks first
            had[s.life] = position
            yield taken(s.topic, f["payload"], s.life, position)

    def _end(self, f):
        for key in [k for k in self.bound if k[1] == f["origin"] and f["id"] in (0, k[0])]:
            s = self.bound.pop(key)
            if f["how"] in (0, 2):
                self._over(s)
            else:
                yield missing(s.topic, s.life, 0, 0)        # a tail, perhaps

    def _over(self, s):
        if s.life in self.had[s.topic]:
            self.over.setdefault(s.topic, {})[s.life] = self.had[s.topic].pop(s.life)

    def _live(self, f):
        for id_, topic in list(self.topics.items()):
            if f["sub"] in self.subs and topic == self.subs[f["sub"]][0]:
                for life in sorted(self.resuming.pop(id_, ())):
                    if self.over.get(topic, {}).pop(life, None) is None:
                        yield missing(topic, life, 0, 0)
                        del self.had[topic][life]


class Backoff:
    """[W-8.2]"""

    def __init__(self, rng):
        self.n, self.rng = 0, rng

    def wait(self):
        self.n += 1
        return self.rng.uniform(0, min(5 * 2**min(self.n - 1, 6), 300))


class Returning:
    """When and where to reconnect [W-8.1], [W-8.2]."""
    SERVICE = 60

    def __init__(self, addresses, rng=random):
        self.addresses, self.rng, self.backoff = list(addresses), rng, Backoff(rng)
        self.home = self.current = self.addresses[0]
        self.hops = self.failed = 0
        self.quick = False          # 20–3F or 60–7F came since the last 60 s of service

    def after(self, code, served=None, target="", rest=None, delay=0):
        """(address, seconds to wait), or None: stop.

        code None: TCP ended without CLOSE. served: seconds since WELCOME, None if it never came.
        rest: seconds until the moment that was drawn for a GOAWAY, None without one. delay: seconds that CLOSE said, or 0.
        """
        if served is not None:
            self.home, self.failed = self.current, 0
            if served >= self.SERVICE:
                self.hops = self.backoff.n = 0
                self.quick = False
        if code is not None:
            kind = code >> 5
        elif served is not None:
            kind = AT_ONCE
        else:
            self.failed += 1
            self.current = self._next()
            again = self.failed >= len(self.addresses)
            return self.current, self.backoff.wait() if again else self.rng.uniform(0, 1)
        if kind in (NOT_THIS_IDENTITY, NOT_THIS_SOFTWARE):
            return None
        if kind == LATER and delay:             # as it stands, and no wait of the back-off
            self.current = self._next()
            return self.current, delay
        again = kind != FINE
        if kind in (AT_ONCE, ELSEWHERE):
            again, self.quick = self.quick, True
        self.hops = min(self.hops + (kind == ELSEWHERE), 255)
        self.current = (target or self._next()) if kind == ELSEWHERE else self._next() if kind == LATER else self.home
        if again:
            return self.current, max(self.backoff.wait(), rest or 0)
        if rest is not None and kind == ELSEWHERE:
            return self.current, rest
        return self.current, self.rng.uniform(0, 1) + (rest or 0)

    def _next(self):
        at = self.addresses.index(self.current) if self.current in self.addresses else -1
        return self.addresses[(at + 1) % len(self.addresses)]
