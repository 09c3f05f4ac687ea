#!/usr/bin/env python3
"""A Bellwire device in Python: levels 0 and 1, and wildcards with TOPIC.

Written from PROTOCOL.md and vectors.json alone, with the standard library alone. Clauses are named [W-…].

  Codec      encode(name, **fields), decode(type, body), FrameReader          [W-2] to [W-6]
  Topics     valid_topic, valid_filter, matches                               [W-4]
  Tracker    counts positions and says what is missing; knows no sockets      [W-6.7]
  Returning  when and where to reconnect; knows no sockets and no clock       [W-8]
  Device     one connection after the other; calls on_event(dict) for all that happens

An event handler that returns something true makes the device leave. Exit status of the command: 0 done, 1 refused,
2 usage, 3 a jump that nobody announced.
"""
import argparse
import collections
import heapq
import itertools
import json
import os
import random
import select
import signal
import socket
import sys
import time
import unicodedata

OK, LIVE_ONLY, OVERLOAD, NOT_AUTHENTICATED = 0x00, 0x01, 0x40, 0x80
MALFORMED, VERSION, UNKNOWN_TYPE, TOO_LARGE, OUT_OF_ORDER, C1, C3 = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xC1, 0xC3
FINE, AT_ONCE, LATER, ELSEWHERE, NOT_THIS_IDENTITY, NOT_THIS_SOFTWARE = range(6)    # code >> 5
NOW, LAST, KEPT, CURSOR = range(4)
FORMS = ["none", "low", "full", "tlvs"]
MAX63, MAX32 = 2**63 - 1, 2**32 - 1


class ProtocolError(Exception):
    """The other side broke the protocol; `code` goes into CLOSE."""

    def __init__(self, code, why):
        super().__init__(f"{why} ({code:02x})")
        self.code = code


class Jump(ProtocolError):
    """The error of [W-6.7] rule 4."""

    def __init__(self, why):
        super().__init__(OUT_OF_ORDER, why)


# Codec -----------------------------------------------------------------------------------------------------------

def put_varint(value):
    """[W-2.1]"""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Body:
    """Reads the fields of one body; what is cut off is malformed."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if len(self.data) - self.at < n:
            raise ProtocolError(MALFORMED, "cut off")
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def varint(self, limit=MAX63):
        value = 0
        for i in range(9):
            byte = self.u8()
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                if byte == 0 and i > 0 or value > limit:
                    break
                return value
        raise ProtocolError(MALFORMED, "bad varint")

    def u32(self):
        return self.varint(MAX32)

    def bytes(self):
        return self.take(self.varint())

    def rest(self):
        return self.take(len(self.data) - self.at)

    def tlvs(self):
        """Skips odd TLVs to the end, refuses even ones [W-2.5]."""
        while self.at < len(self.data):
            if self.varint() % 2 == 0:
                raise ProtocolError(UNKNOWN_TYPE, "even TLV")
            self.bytes()

    def tlv_block(self):
        block = self.bytes()
        Body(block).tlvs()
        return block

    def str(self):
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise ProtocolError(MALFORMED, "not UTF-8") from None

    def name(self):
        """A topic or filter from a device: any bytes [W-2.3]."""
        return self.bytes().decode(errors="surrogateescape")


def put_bytes(value):
    return put_varint(len(value)) + value


def put_name(value):
    return put_bytes(value.encode(errors="surrogateescape"))


KINDS = {   # kind: (read, write)
    "u8": (Body.u8, lambda v: bytes([v])),
    "u32": (Body.u32, put_varint),
    "var": (Body.varint, put_varint),
    "be32": (lambda b: int.from_bytes(b.take(4), "big"), lambda v: v.to_bytes(4, "big")),
    "life": (lambda b: b.take(8).hex(), bytes.fromhex),
    "bytes": (Body.bytes, put_bytes),
    "str": (Body.str, put_name),
}
LAYOUTS = {   # type: (frame, its fields in order); the frames that have conditions follow as functions
    0x01: ("HELLO", "min:u8 max:u8 recv:u8 flags:u8 names:u32 keepalive:u32 incarnation:be32 hops:u8 table:u32"
                    " method:u8 auth:str"),
    0x02: ("WELCOME", "version:u8 recv:u8 flags:u8 keepalive:u32 credit:var max_subs:u32 table:u32 life:life"),
    0x04: ("SUBSCRIBE", ""),
    0x05: ("SUBSCRIBED", "sub:u32 code:u8 id:u32 retry:u32"),
    0x06: ("UNSUBSCRIBE", "sub:u32"),
    0x07: ("UNSUBSCRIBED", "sub:u32 code:u8"),
    0x08: ("TOPIC", "id:u32 name:str"),
    0x09: ("PING", ""),
    0x0A: ("PONG", ""),
    0x0B: ("GOAWAY", "code:u8 within:u32 spread:u32 target:str"),
    0x0C: ("ERROR", "code:u8 type:u8 number:var text:str"),
    0x0D: ("AUTH", "method:u8 data:bytes"),
    0x0E: ("ACK", "seq:var code:u8 retry:u32"),
    0x13: ("CREDIT", "handle:u32 bytes:var"),
    0x15: ("CLOSE", "handle:u32 code:u8 text:str"),
    0x40: ("PUBLISH", ""),
    0x50: ("MESSAGE", ""),
    0x80: ("GAP", "id:u32 origin:u32 reason:u8 count:var"),
    0x81: ("STREAM", "id:u32 origin:u32 flags:u8 life:life next:var"),
    0x82: ("END", "id:u32 origin:u32 how:u8"),
    0x83: ("LIVE", "sub:u32"),
}
LAYOUTS = {t: (name, [f.split(":") for f in fields.split()]) for t, (name, fields) in LAYOUTS.items()}
TYPES = {name: t for t, (name, _) in LAYOUTS.items()}


def encode(name, /, **f):
    """One whole frame."""
    type_, body = TYPES[name], b""
    if name == "HELLO":
        body = b"BW"
    if name in ("PING", "PONG"):
        body = f["data"]
    elif name == "SUBSCRIBE":
        opts = f["policy"] | f["track"] << 2 | f["start"] << 3 | f["no_echo"] << 5 | f["publish_only"] << 6
        body = put_varint(f["sub"]) + bytes([opts | ("id" in f) << 7])
        body += put_varint(f["id"]) if "id" in f else put_name(f["filter"])
        if f["start"] == CURSOR:
            body += put_varint(len(f["cursor"]))
            body += b"".join(bytes.fromhex(p["life"]) + put_varint(p["offset"]) for p in f["cursor"])
    elif name == "PUBLISH":
        type_ |= ("name" in f) | ("seq" in f) << 1 | f.get("confirmed", False) << 2 | ("tlvs" in f) << 3
        body = put_varint(f["seq"]) if "seq" in f else b""
        body += put_name(f["name"]) if "name" in f else put_varint(f["id"])
        body += (put_bytes(f["tlvs"]) if "tlvs" in f else b"") + f["payload"]
    elif name == "MESSAGE":
        form = FORMS.index(f["offset_form"])
        type_ |= ("name" in f) | ("origin" in f) << 1 | form << 2
        body = put_name(f["name"]) if "name" in f else put_varint(f["id"])
        body += put_varint(f["origin"]) if "origin" in f else b""
        body += b"" if form == 0 else bytes([f["offset"]]) if form == 1 else put_varint(f["offset"])
        body += (put_bytes(f["tlvs"]) if form == 3 else b"") + f["payload"]
    for field, kind in LAYOUTS[TYPES[name]][1]:
        if field != "retry" or f["code"] >> 5 == LATER:
            body += KINDS[kind][1](f[field])
    return bytes([type_]) + put_varint(len(body)) + body


def decode(type_, body):
    """(frame name, fields). The name is "" for a frame that is skipped [W-2.4]."""
    family = type_ & 0xF0 if 0x40 <= type_ <= 0x5F else type_
    if family not in LAYOUTS:
        if type_ >= 0x80:
            return "", {}
        raise ProtocolError(UNKNOWN_TYPE, f"unknown type {type_:02x}")
    name, fields = LAYOUTS[family]
    b = Body(bytes(body))
    if name in ("PING", "PONG"):
        if len(body) > 8:
            raise ProtocolError(MALFORMED, "more than eight bytes")
        return name, {"data": b.rest()}
    if name == "PUBLISH":
        return name, _publish(type_, b)
    if name == "MESSAGE":
        return name, _message(type_, b)
    if name == "HELLO":
        _hello_start(body)
        b.take(2)
    f = _subscribe(b) if name == "SUBSCRIBE" else {}
    for field, kind in fields:
        if field != "retry" or f["code"] >> 5 == LATER:
            f[field] = KINDS[kind][0](b)
    b.tlvs()
    _check(name, f)
    return name, f


def _hello_start(body):
    """What stands in every version [W-3.1], looked at before the rest."""
    b = Body(body)
    if b.take(2) != b"BW":
        raise ProtocolError(MALFORMED, "not a HELLO")
    low, high = b.u8(), b.u8()
    if low > high:
        raise ProtocolError(MALFORMED, "min above max")
    if not low <= 1 <= high:
        raise ProtocolError(VERSION, "no version in common")


def _check(name, f):
    if name == "HELLO" and not 7 <= f["recv"] <= 20 or name == "WELCOME" and not 10 <= f["recv"] <= 20:
        raise ProtocolError(MALFORMED, "recv out of range")
    if name == "HELLO" and f["method"] > 1:
        raise ProtocolError(NOT_AUTHENTICATED, "reserved method")
    if name == "HELLO" and len(f["auth"].encode()) > 900:
        raise ProtocolError(TOO_LARGE, "token above 900 bytes")


def _subscribe(b):
    sub, opts = b.u32(), b.u8()
    f = {"sub": sub, "policy": opts & 3, "track": bool(opts & 4), "start": opts >> 3 & 3,
         "no_echo": bool(opts & 32), "publish_only": bool(opts & 64)}
    if opts & 128:
        f["id"] = b.u32()
    else:
        f["filter"] = b.name()
    if f["start"] == CURSOR:
        n = b.varint()
        if n > 64:
            raise ProtocolError(MALFORMED, "more than 64 positions")
        f["cursor"] = [{"life": b.take(8).hex(), "offset": b.varint()} for _ in range(n)]
    if sub == 0 or f["policy"] == 3 or f.get("id") == 0 \
            or len({p["life"] for p in f.get("cursor", [])}) < len(f.get("cursor", [])):
        raise ProtocolError(MALFORMED, "bad SUBSCRIBE")
    return f


def _publish(type_, b):
    f = {"confirmed": bool(type_ & 4)}
    if type_ & 2:
        f["seq"] = b.varint()
    if f["confirmed"] and "seq" not in f or f.get("seq") == 0:
        raise ProtocolError(MALFORMED, "bad seq")
    f["name" if type_ & 1 else "id"] = b.name() if type_ & 1 else b.u32()
    if type_ & 8:
        f["tlvs"] = b.tlv_block()
    f["payload"] = b.rest()
    return f


def _message(type_, b):
    form = type_ >> 2 & 3
    f = {"name": b.str()} if type_ & 1 else {"id": b.u32()}
    if type_ & 2:
        f["origin"] = b.u32()
        if f["origin"] == 0:
            raise ProtocolError(MALFORMED, "origin 0")
    f["offset_form"] = FORMS[form]
    if form:
        f["offset"] = b.u8() if form == 1 else b.varint()
    if form == 3:
        f["tlvs"] = b.tlv_block()
    f["payload"] = b.rest()
    return f


class FrameReader:
    """Cuts a stream of bytes into frames of at most `limit` bytes [W-2.2]."""

    def __init__(self, limit):
        self.limit, self.buffer = limit, bytearray()

    def feed(self, data):
        """Yields (type, body) of each frame that is whole; the rest stays in `buffer`."""
        self.buffer += data
        while (size := self._head()) is not None:
            head, length = size
            frame = bytes(self.buffer[:head + length])
            del self.buffer[:head + length]
            yield frame[0], frame[head:]

    def _head(self):
        """(header, body) sizes of the first frame, or None if it is not whole. Checks before it waits."""
        length = 0
        for i in range(3):
            if len(self.buffer) < i + 2:
                return None
            byte = self.buffer[i + 1]
            length |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                break
        else:
            raise ProtocolError(TOO_LARGE, "length of four bytes")
        if byte == 0 and i > 0:
            raise ProtocolError(MALFORMED, "length not in shortest form")
        if i + 2 + length > self.limit:
            raise ProtocolError(TOO_LARGE, "frame above the limit")
        return (i + 2, length) if len(self.buffer) >= i + 2 + length else None


# Topics ----------------------------------------------------------------------------------------------------------

def valid_filter(name):
    """[W-4.1]; `name` is bytes."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    levels = text.split("/")
    return (1 <= len(name) <= 255 and len(levels) <= 16 and not text.startswith("$")
            and not any(unicodedata.category(c) == "Cc" for c in text)
            and all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
            and "#" not in levels[:-1])


def valid_topic(name):
    return valid_filter(name) and not is_wildcard(name.decode())


def is_wildcard(filter_):
    return "+" in filter_ or "#" in filter_


def matches(filter_, topic):
    """[W-4.3]"""
    want, have = filter_.split("/"), topic.split("/")
    if want[-1] == "#":
        want.pop()
        have = have[:len(want)] if len(have) >= len(want) else have
    return len(want) == len(have) and all(w in ("+", h) for w, h in zip(want, have))


# Counting --------------------------------------------------------------------------------------------------------

class Stream:
    """One life of one topic, as told on this connection. next is None while it is unknown."""

    def __init__(self, topic, life, next_, sparse):
        self.topic, self.life, self.next, self.sparse = topic, life, next_, sparse


class Tracker:
    """Counts positions [W-6.7]. `had` = {topic: {life: offset}} outlives the connection, the rest does not."""

    def __init__(self, had=None):
        self.had = {} if had is None else had
        self.begin()

    def begin(self):
        """A new connection: forget all ids, indices and subscriptions."""
        self.subs, self.topics, self.bound, self.main, self.resuming = {}, {}, {}, {}, {}
        self.rings = True       # WELCOME.flags: without them nothing is tracked

    def cursor(self, topic):
        """At most 64 positions, the youngest lives if there are more."""
        return [{"life": k, "offset": v} for k, v in list(self.had.get(topic, {}).items())[-64:]]

    def subscribe(self, **fields):
        """Notes the subscription and gives its SUBSCRIBE frame."""
        self.subs[fields["sub"]] = dict(fields, id=0, stands=False)
        return encode("SUBSCRIBE", **fields)

    def handle(self, name, f):
        """Yields the events of a frame: "message" and "gap" (count 0: unknown). Raises Jump."""
        handler = getattr(self, "_" + name.lower(), None)
        return handler(f) or () if handler else ()

    def tracked(self, topic):
        """None: some subscriptions that match do, some do not; then it is the gateway's choice [W-4.4]."""
        tracks = {s["track"] and self.rings for s in self.subs.values() if s["stands"] and matches(s["filter"], topic)}
        return None if len(tracks) > 1 else True in tracks

    def _missing(self, topic, life, count, reason):
        return {"event": "gap", "topic": topic, "life": life, "count": count, "reason": reason}

    def _subscribed(self, f):
        s = self.subs.get(f["sub"])
        if s is None:
            return
        if f["code"] >> 5 != FINE:
            del self.subs[f["sub"]]
            return
        s["stands"], s["id"] = True, f["id"]
        if f["id"]:
            self.topics[f["id"]] = s["filter"]
        if s["start"] == CURSOR and f["code"] != LIVE_ONLY:
            self.resuming[f["id"]] = {p["life"] for p in s["cursor"]}
        elif s["start"] == CURSOR and s["cursor"]:
            yield self._missing(s["filter"], "", 0, 0)      # nothing is replayed, nobody says how much

    def _unsubscribed(self, f):
        self.subs.pop(f["sub"], None)

    def _topic(self, f):
        self.topics[f["id"]] = f["name"]

    def _stream(self, f):
        topic, life = self.topics.get(f["id"]), f["life"]
        if f["next"] == 0:
            raise ProtocolError(MALFORMED, "positions begin at 1")
        if topic is None or self.tracked(topic) is False:
            return                                          # no room for its name, or not ours to count [W-6.3]
        s = self.bound[f["id"], f["origin"]] = Stream(topic, life, f["next"], bool(f["flags"] & 2))
        if f["flags"] & 1:
            self.main[f["id"]] = f["origin"]
        had = self.had.setdefault(topic, {})
        resuming = self.resuming.get(f["id"])
        had.setdefault(life, s.next - 1 if resuming is None else 0)
        if resuming is not None:
            resuming.discard(life)
        yield from self._upto(s, 0)

    def _upto(self, s, reason):
        """All before s.next that was not had is missing."""
        had = self.had[s.topic]
        if not s.sparse and s.next - 1 > had[s.life]:
            count, had[s.life] = s.next - 1 - had[s.life], s.next - 1
            if reason != 3:
                yield self._missing(s.topic, s.life, count, reason)

    def _gap(self, f):
        s = self.bound.get((f["id"], f["origin"]))
        if s is None or s.sparse:
            if f["reason"] != 3:
                yield self._missing(self.topics.get(f["id"], ""), s.life if s else "", f["count"], f["reason"])
        elif f["count"] == 0:
            s.next = None
            yield self._missing(s.topic, s.life, 0, f["reason"])
        elif s.next is None:
            if f["reason"] != 3:
                yield self._missing(s.topic, s.life, f["count"], f["reason"])
        else:
            if s.next + f["count"] > MAX63 + 1:
                raise Jump(f"gap of {f['count']} in {s.life} of {s.topic} goes beyond the last position")
            s.next += f["count"]
            yield from self._upto(s, f["reason"])

    def _message(self, f):
        if "name" in f:                                     # belongs to no position [W-6.2]
            yield {"event": "message", "topic": f["name"], "life": "", "position": 0, "payload": f["payload"]}
            return
        topic = self.topics.get(f["id"])
        s = self.bound.get((f["id"], f.get("origin", self.main.get(f["id"]))))
        if s is None:
            if topic is None:
                yield self._missing("", "", 1, 0)           # our own loss [W-3.1]
                return
            if self.tracked(topic):
                raise Jump(f"message of {topic}, which is tracked, without STREAM")
            yield {"event": "message", "topic": topic, "life": "", "position": 0, "payload": f["payload"]}
            return
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
            had[s.life] = position
            yield {"event": "message", "topic": s.topic, "life": s.life, "position": position,
                   "payload": f["payload"]}

    def _end(self, f):
        for key in [k for k in self.bound if k[1] == f["origin"] and f["id"] in (0, k[0])]:
            s = self.bound.pop(key)
            if f["how"] in (0, 2):
                del self.had[s.topic][s.life]
            else:
                yield self._missing(s.topic, s.life, 0, 0)  # a tail, perhaps

    def _live(self, f):
        s = self.subs.get(f["sub"])
        for life in sorted(self.resuming.pop(s["id"], ())) if s else ():
            yield self._missing(s["filter"], life, 0, 0)
            del self.had[s["filter"]][life]


# Coming back -----------------------------------------------------------------------------------------------------

class Returning:
    """When and where to reconnect [W-8]."""
    SERVICE = 60

    def __init__(self, addresses, rng=random):
        self.addresses, self.rng = list(addresses), rng
        self.home = self.current = self.addresses[0]
        self.waits = self.hops = self.failed = 0
        self.quick = False          # 20–3F or 60–7F came since the last 60 s of service

    def backoff(self):
        limit = min(5 * 2**self.waits, 300)
        self.waits = min(self.waits + 1, 6)
        return self.rng.uniform(0, limit)

    def after(self, code, served=0.0, target="", spread=None):
        """(address, seconds) to wait, or None: stop. code None: TCP ended without CLOSE, connect or WELCOME failed.
        spread: what is left of the moment drawn for a GOAWAY."""
        if served >= self.SERVICE:
            self.waits = self.hops = self.failed = 0
            self.quick, self.home = False, self.current
        kind = None if code is None else code >> 5
        if kind in (NOT_THIS_IDENTITY, NOT_THIS_SOFTWARE):
            return None
        again, delay = self.quick, self.rng.uniform(0, 1)
        if kind is None:
            self.failed += 1
            again = self.failed >= len(self.addresses)
            self.current = self._next()
        else:
            self.failed, self.current = 0, self.home if kind != ELSEWHERE else target or self._next()
            again = again or kind not in (AT_ONCE, ELSEWHERE)
            self.quick = self.quick or kind in (AT_ONCE, ELSEWHERE)
        if kind == ELSEWHERE:
            self.hops = min(self.hops + 1, 255)
            delay = delay if spread is None else spread
        return self.current, max(self.backoff() if again else delay, spread or 0)

    def _next(self):
        at = self.addresses.index(self.current) if self.current in self.addresses else -1
        return self.addresses[(at + 1) % len(self.addresses)]


# The device ------------------------------------------------------------------------------------------------------

class Ended(Exception):
    """A connection is over; code None: without CLOSE."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code


class Device:
    """Subscribes to `filters`, publishes what publish() was given, and comes back until it is told to leave."""

    def __init__(self, servers, on_event, *, name="", filters=(), start=NOW, policy=0, track=True, no_echo=False,
                 recv=12, names=64, keepalive=0, slow=0.0, had=None, leave_when_sent=False):
        self.returning, self.on_event = Returning(servers), on_event
        self.name, self.filters, self.start, self.policy, self.track = name, list(filters), start, policy, track
        self.no_echo, self.recv, self.names, self.keepalive, self.slow = no_echo, recv, names, keepalive, slow
        self.tracker, self.leave_when_sent = Tracker(had), leave_when_sent
        self.incarnation = random.getrandbits(32)
        self.seq, self.unsent, self.pending = 0, collections.deque(), {}    # pending: seq → (topic, payload)
        self.stopping = False
        self.wake, self.waker = socket.socketpair()

    def stop(self):
        """Makes run() return; may be called from a signal handler or another thread."""
        self.stopping = True
        try:
            self.waker.send(b".")
        except OSError:
            pass                    # run() is over

    def publish(self, topic, payload, ack=False):
        if ack:
            self.seq += 1
            self.pending[self.seq] = (topic, payload)
        self.unsent.append((self.seq if ack else None, topic, payload))

    def run(self):
        """Returns the code that ended it: 00 when an event handler or stop() said so."""
        with self.wake, self.waker:
            return self._run()

    def _run(self):
        address, wait = self.returning.current, 0
        while True:
            select.select([self.wake], [], [], wait)
            if self.stopping:
                return OK
            code, text = self._connection(address)
            if self.stopping:
                return OK
            self._emit(event="close", code=code, text=text)
            spread = max(0, self.leave_at - time.monotonic()) if self.goaway else None
            plan = self.returning.after(code, time.monotonic() - self.served_from if self.welcome else 0,
                                        self.goaway.get("target", ""), spread)
            if plan is None:
                return code
            address, wait = plan
            self._emit(event="reconnect", address=address, wait=round(wait, 3), hops=self.returning.hops)

    def _emit(self, **event):
        if self.on_event(event):
            self.stopping = True

    def _connection(self, address):
        """One connection, from connect to its end: (code, text)."""
        now = time.monotonic()
        self.welcome, self.goaway, self.leave_at, self.sock = {}, {}, 0, None
        self.began = self.sent_at = now
        self.interval, self.asked_at, self.credit, self.waiting, self.timers = 60, None, 0, collections.deque(), []
        self.last_ping, self.numbers = False, itertools.count(1)
        self.tracker.begin()
        self.early, self.extra = 0, set()
        resend = [(seq, *self.pending[seq]) for seq in sorted(self.pending)]
        self.unsent = collections.deque(resend + [u for u in self.unsent if u[0] is None])
        reader = FrameReader(2**self.recv)
        try:
            self.sock = self._dial(address)
            self._emit(event="connected", address=address)
            self._hello()
            while not self.stopping:
                wait = self._due(time.monotonic())
                if self.sock in select.select([self.sock, self.wake], [], [], wait)[0]:
                    data = self.sock.recv(1024 if self.slow else 65536)
                    if not data:
                        raise Ended(None, "connection ended without CLOSE")
                    self.asked_at = None
                    for type_, body in reader.feed(data):
                        self._frame(*decode(type_, body))
                        if self.stopping:
                            break
                    select.select([self.wake], [], [], self.slow)
            self._close(OK)
            return OK, "done"
        except Jump as e:
            self._close(e.code)
            self._emit(event="jump", text=str(e))
            return OVERLOAD, str(e)                 # comes back as for the range 40–5F [W-3.0]
        except ProtocolError as e:
            self._close(e.code)
            self._emit(event="broken", text=str(e))
            return OVERLOAD, str(e)
        except Ended as e:
            return (self.goaway.get("code") if e.code is None else e.code), str(e)
        except OSError as e:
            return self.goaway.get("code"), str(e)
        finally:
            if self.sock:
                self.sock.close()

    def _dial(self, address):
        host, _, port = address.rpartition(":")
        error = OSError("no address")
        for family, kind, proto, _, where in socket.getaddrinfo(host.strip("[]"), port or 7311,
                                                                type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, proto)
            try:
                if self.slow:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(10)
                sock.connect(where)
                return sock
            except OSError as e:
                sock.close()
                error = e
        raise error

    def _send(self, frame):
        self.sock.sendall(frame)
        self.sent_at = time.monotonic()

    def _close(self, code):
        try:
            self._send(encode("CLOSE", handle=0, code=code, text=""))
        except (OSError, AttributeError):
            pass

    def _hello(self):
        """HELLO and, as far as they surely fit, the subscriptions in the same segment [W-3.0]."""
        hello = encode("HELLO", min=1, max=1, recv=self.recv, flags=int(self.track), names=self.names,
                       keepalive=self.keepalive, incarnation=self.incarnation, hops=self.returning.hops, table=0,
                       method=1 if self.name else 0, auth=self.name)
        frames = []
        if not any(self._wild(f) for f in self.filters):        # else wait for WELCOME.max subs
            frames = [self._subscribe(f) for f in self.filters]
            if len(hello) + sum(map(len, frames)) > 4096 or any(len(f) > 1024 for f in frames):
                self.tracker.begin()
                frames = []
        self.early = len(frames)
        self._send(b"".join([hello] + frames))

    def _wild(self, filter_):
        return is_wildcard(filter_) and self.track and self.names > 0

    def _subscribe(self, filter_, start=None):
        cursor = self.tracker.cursor(filter_) if self.track and not is_wildcard(filter_) else []
        if start is None:
            start = CURSOR if cursor else self.start
        more = {"cursor": cursor} if start == CURSOR else {}
        return self.tracker.subscribe(sub=next(self.numbers), policy=self.policy, track=self.track, start=start,
                                      no_echo=self.no_echo, publish_only=False, filter=filter_, **more)

    def _due(self, now):
        """Does what is due and returns the seconds until something else is."""
        if not self.welcome and now >= self.began + 10:
            raise Ended(None, "no WELCOME")
        if self.asked_at and now >= self.asked_at + 10:
            raise Ended(None, "no answer to PING")
        if now >= self.sent_at + 0.8 * self.interval:
            self._send(encode("PING", data=b""))
            self.asked_at = self.asked_at or now
        if self.goaway and now >= self.leave_at and (not self.waiting or now >= self.gone_at):
            self._close(OK)
            raise Ended(self.goaway["code"], "left as GOAWAY asked")
        while self.timers and self.timers[0][0] <= now:
            heapq.heappop(self.timers)[2]()
        if self.welcome and not (self.goaway and now >= self.leave_at):
            self._pump()
        times = [self.sent_at + 0.8 * self.interval] + [t[0] for t in self.timers[:1]]
        times += [self.began + 10] if not self.welcome else []
        times += [self.asked_at + 10] if self.asked_at else []
        if self.goaway:
            times += [self.gone_at if now >= self.leave_at else self.leave_at]
        return max(0, min(times) - now)

    def _later(self, seconds, action):
        heapq.heappush(self.timers, (time.monotonic() + seconds, id(action), action))

    def _pump(self):
        """Sends what credit allows [W-5.3]; `waiting` keeps the order of sending of those that want an ACK."""
        while self.unsent:
            seq, topic, payload = self.unsent[0]
            frame = encode("PUBLISH", name=topic, payload=payload, **({"seq": seq} if seq else {}))
            if len(frame) > min(self.welcome["credit"], 2**self.welcome["recv"]):
                self.pending.pop(seq, None)
                self._emit(event="refused", seq=seq, code=C1, text="larger than the gateway takes")
            elif len(frame) > self.credit:
                return
            else:
                self.credit -= len(frame)
                if seq:
                    self.waiting.append(seq)
                self._send(frame)
            self.unsent.popleft()
        if self.leave_when_sent and not self.pending and not self.last_ping:
            self.last_ping = True           # its PONG comes after all refusals
            self._send(encode("PING", data=b"last"))

    def _frame(self, name, f):
        if not self.welcome and name not in ("WELCOME", "ERROR", "CLOSE", ""):
            raise ProtocolError(OUT_OF_ORDER, f"{name} before WELCOME")
        handler = getattr(self, "_on_" + name.lower(), None)
        if handler is None and name not in ("MESSAGE", "GAP", "TOPIC", ""):
            raise ProtocolError(UNKNOWN_TYPE if name == "AUTH" else OUT_OF_ORDER, f"{name} from a gateway")
        if handler and name != "LIVE":
            handler(f)
        for event in self.tracker.handle(name, f):
            self._emit(**event)
        if name == "LIVE":
            handler(f)

    def _on_welcome(self, f):
        if self.welcome or f["version"] != 1:
            raise ProtocolError(OUT_OF_ORDER if self.welcome else VERSION, "WELCOME")
        self.welcome, self.credit, self.served_from = f, f["credit"], time.monotonic()
        self.interval = max(f["keepalive"], 1)
        self._emit(event="welcome", **f)
        self.tracker.rings = bool(f["flags"] & 1)
        if self.early or not self.filters:
            return
        # A wildcard has no cursor: first the topics that it had, exactly [W-6.8].
        room = f["max_subs"] - len(self.filters)
        for topic in [t for t in self.tracker.had if t not in self.filters and self.tracker.had[t]
                      and f["flags"] & 1 and any(self._wild(w) and matches(w, t) for w in self.filters)][:max(0, room)]:
            frame = self._subscribe(topic, CURSOR)
            self.extra.add(max(self.tracker.subs))
            self._send(frame)
        for filter_ in self.filters:
            self._send(self._subscribe(filter_))

    def _on_subscribed(self, f):
        s = self.tracker.subs.get(f["sub"])
        if s is None:
            return
        self._emit(event="subscribed", filter=s["filter"], **f)
        if f["code"] == C3:
            self.tracker.had.pop(s["filter"], None)
            self._emit(event="gap", topic=s["filter"], life="", count=0, reason=0)
            self._send(self._subscribe(s["filter"], KEPT))
        elif f["code"] >> 5 in (AT_ONCE, LATER) and f["sub"] not in self.extra:
            wait = max(f.get("retry", 0) / 1000, self.returning.backoff())
            self._later(wait, lambda: self._send(self._subscribe(s["filter"])))
        elif f["code"] >> 5 != FINE:
            self._emit(event="refused", filter=s["filter"], code=f["code"])

    def _on_unsubscribed(self, f):
        if f["sub"] not in self.extra:
            self._emit(event="unsubscribed", **f)

    def _on_stream(self, f):
        self._emit(event="stream", topic=self.tracker.topics.get(f["id"], ""), **f)

    def _on_end(self, f):
        self._emit(event="end", **f)

    def _on_live(self, f):
        self._emit(event="live", **f)
        if f["sub"] in self.extra:
            self._send(encode("UNSUBSCRIBE", sub=f["sub"]))

    def _on_ping(self, f):
        self._send(encode("PONG", data=f["data"]))

    def _on_pong(self, f):
        if f["data"] == b"last":
            self.stopping = True

    def _on_error(self, f):
        self._emit(event="error", **f)

    def _on_ack(self, f):
        seq, kind = f["seq"], f["code"] >> 5
        if seq not in self.waiting:
            return
        if kind == FINE:                # all that was sent up to here
            done = [self.waiting.popleft() for _ in range(self.waiting.index(seq) + 1)]
            for n in done:
                del self.pending[n]
            self._emit(event="ack", done=done, **f)
        else:
            self.waiting.remove(seq)
            self._emit(event="ack", **f)
            again = (seq, *self.pending[seq])
            if kind in (AT_ONCE, LATER):
                wait = 0 if kind == AT_ONCE else f["retry"] / 1000 or self.returning.backoff()
                self._later(wait, lambda: self.unsent.append(again))
            else:
                del self.pending[seq]
                self._emit(event="refused", seq=seq, code=f["code"])

    def _on_credit(self, f):
        if f["handle"] == 0:
            self.credit += f["bytes"]

    def _on_goaway(self, f):
        """Leaves at a random moment of its spread [W-3.5]; a later one replaces it."""
        now = time.monotonic()
        self.goaway, self.gone_at = f, now + f["within"] / 1000
        self.leave_at = now + random.uniform(0, f["spread"] / 1000)
        self._emit(event="goaway", **f)
        if f["within"] == 0:
            self._close(OK)
            raise Ended(f["code"], "left as GOAWAY asked")

    def _on_close(self, f):
        if f["handle"] == 0:
            raise Ended(f["code"], f["text"])


# The command -----------------------------------------------------------------------------------------------------

def printable(event):
    out = {}
    for key, value in event.items():
        if isinstance(value, bytes):
            try:
                out[key] = value.decode()
            except UnicodeDecodeError:
                out[key + "_hex"] = value.hex()
        elif key in ("code", "type") and value is not None:
            out[key] = f"{value:02x}"
        else:
            out[key] = value
    return out


def main(argv=None):
    p = argparse.ArgumentParser(description="A Bellwire device.")
    p.add_argument("--server", action="append", required=True, metavar="HOST:PORT", help="may be repeated")
    p.add_argument("--device", default="", help="name, or token")
    p.add_argument("--recv", type=int, default=12, choices=range(7, 21), metavar="LOG2", help="largest frame (12)")
    p.add_argument("--keepalive", type=int, default=0, metavar="S")
    p.add_argument("--json", action="store_true", help="one JSON object per line")
    commands = p.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("sub", help="subscribe and print")
    sub.add_argument("filter", nargs="+")
    sub.add_argument("--count", type=int, default=0, help="leave after so many messages")
    sub.add_argument("--cursor-file", metavar="F", help="keeps the positions")
    sub.add_argument("--start", default="now", choices=["now", "last", "kept"], help="for topics without position")
    sub.add_argument("--slow-ms", type=int, default=0, metavar="N", help="sleep between reads")
    sub.add_argument("--policy", default="oldest", choices=["oldest", "latest", "lossless"])
    sub.add_argument("--names", type=int, default=64, help="0: wildcards come with names and are not counted")
    sub.add_argument("--no-track", action="store_true", help="level 0")
    pub = commands.add_parser("pub", help="publish")
    pub.add_argument("topic")
    pub.add_argument("payload", help="{n} is the number of the message")
    pub.add_argument("--count", type=int, default=1)
    pub.add_argument("--ack", action="store_true")
    for command in (sub, pub):      # these may stand after the command too
        command.add_argument("--recv", type=int, choices=range(7, 21), metavar="LOG2", default=argparse.SUPPRESS)
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    args = p.parse_args(argv)

    had, path = {}, getattr(args, "cursor_file", None)
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            had = json.load(file)
    result = {"exit": 0, "messages": 0, "refused": 0}

    def save():
        if path:
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump(had, file)
            os.replace(path + ".new", path)

    def on_event(event):
        kind, shown = event["event"], printable(event)
        print(json.dumps(shown, ensure_ascii=False) if args.json
              else " ".join(f"{k}={v}" for k, v in shown.items()), flush=True)
        if kind in ("message", "gap", "stream", "end", "live"):
            save()                  # after it was done with: a crash repeats and never loses [W-6.8]
        result["messages"] += kind == "message"
        if kind == "jump":
            result["exit"] = 3
            return True
        if kind in ("refused", "error", "broken"):
            result["exit"] = 1
            result["refused"] += kind == "refused"
            return args.command == "sub" and result["refused"] >= len(args.filter)
        return args.command == "sub" and 0 < args.count <= result["messages"]

    if args.command == "sub":
        device = Device(args.server, on_event, name=args.device, filters=args.filter, recv=args.recv, had=had,
                        start={"now": NOW, "last": LAST, "kept": KEPT}[args.start], track=not args.no_track,
                        policy=["oldest", "latest", "lossless"].index(args.policy), names=args.names,
                        keepalive=args.keepalive, slow=args.slow_ms / 1000)
    else:
        device = Device(args.server, on_event, name=args.device, recv=args.recv, keepalive=args.keepalive,
                        track=False, names=0, leave_when_sent=True)
        for n in range(1, args.count + 1):
            device.publish(args.topic, args.payload.replace("{n}", str(n)).encode(), args.ack)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: device.stop())
    code = device.run()
    save()
    return result["exit"] or int(code != OK)


if __name__ == "__main__":
    sys.exit(main())
