"""Frames of the Bellwire device protocol as a device needs them: encode() what it sends, decode() what it gets.

Written from PROTOCOL.md alone; clauses are named [W-…].
"""
import contextlib
import unicodedata

OK, LIVE_ONLY, GATEWAY_LOST, TOKEN_EXPIRED, OVERLOAD = 0x00, 0x01, 0x21, 0x25, 0x40
MALFORMED, VERSION, UNKNOWN_TYPE, TOO_LARGE, OUT_OF_ORDER, C1, C3 = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xC1, 0xC3
FINE, AT_ONCE, LATER, ELSEWHERE, NOT_THIS_IDENTITY, NOT_THIS_SOFTWARE = range(6)    # code >> 5
NOW, LAST, KEPT, CURSOR = range(4)
FORMS = ["none", "low", "full", "tlvs"]
MAX63, MAX32 = 2**63 - 1, 2**32 - 1


class ProtocolError(Exception):
    """The gateway broke the protocol; `code` goes into CLOSE."""

    def __init__(self, code, why):
        super().__init__(f"{why} ({code:02x})")
        self.code = code


def put_varint(value):
    """[W-2.1]"""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def put_bytes(value):
    return put_varint(len(value)) + value


class Body:
    """Reads the fields of one body; what is cut off is malformed."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if len(self.data) - self.at < n:
            raise ProtocolError(MALFORMED, "cut off")
        self.at += n
        return self.data[self.at - n:self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

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

    def v32(self):
        return self.varint(MAX32)

    def bytes(self):
        return self.take(self.varint())

    def str(self):
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise ProtocolError(MALFORMED, "not UTF-8") from None

    def tlvs(self):
        """Skips odd TLVs to the end, refuses even ones [W-2.5]. Returns (key, value) of the first one, (0, b"") if none."""
        first = None
        while self.at < len(self.data):
            key = self.varint()
            if key % 2 == 0:
                raise ProtocolError(UNKNOWN_TYPE, "even TLV")
            value = self.bytes()
            first = first or (key, value)
        return first or (0, b"")


KINDS = {   # kind: (read, write)
    "u8": (Body.u8, lambda v: bytes([v])),
    "v32": (Body.v32, put_varint),
    "varint": (Body.varint, put_varint),
    "u32": (lambda b: int.from_bytes(b.take(4), "big"), lambda v: v.to_bytes(4, "big")),
    "life": (lambda b: b.take(8).hex(), bytes.fromhex),
    "bytes": (Body.bytes, put_bytes),
    "str": (Body.str, lambda v: put_bytes(v.encode())),
    "rest": (Body.rest, bytes),
}
LAYOUTS = {   # type: (frame, fields); SUBSCRIBE, PUBLISH and MESSAGE depend on flags and follow as functions
    0x01: ("HELLO", "min:u8 max:u8 recv:u8 flags:u8 names:v32 keepalive:v32 incarnation:u32 hops:u8 table:v32"
                    " method:u8 auth:str"),
    0x02: ("WELCOME", "version:u8 recv:u8 flags:u8 keepalive:v32 credit:varint max_subs:v32 table:v32 life:life"),
    0x05: ("SUBSCRIBED", "sub:v32 code:u8 id:v32 retry:v32"),
    0x06: ("UNSUBSCRIBE", "sub:v32"),
    0x07: ("UNSUBSCRIBED", "sub:v32 code:u8"),
    0x08: ("TOPIC", "id:v32 name:str"),
    0x09: ("PING", "data:rest"),
    0x0A: ("PONG", "data:rest"),
    0x0B: ("GOAWAY", "code:u8 within:v32 spread:v32 target:str"),
    0x0C: ("ERROR", "code:u8 type:u8 number:varint text:str"),
    0x0D: ("AUTH", "method:u8 data:bytes"),
    0x0E: ("ACK", "seq:varint code:u8 retry:v32"),
    0x13: ("CREDIT", "handle:v32 bytes:varint"),
    0x15: ("CLOSE", "handle:v32 code:u8 text:str"),
    0x80: ("GAP", "id:v32 origin:v32 reason:u8 count:varint"),
    0x81: ("STREAM", "id:v32 origin:v32 flags:u8 life:life next:varint"),
    0x82: ("END", "id:v32 origin:v32 how:u8"),
    0x83: ("LIVE", "sub:v32"),
}
LAYOUTS = {t: (name, [f.split(":") for f in fields.split()]) for t, (name, fields) in LAYOUTS.items()}
REFUSALS = ("SUBSCRIBED", "ACK")    # may say why in a TLV
TEXT, DELAY = 1, 3                  # keys of TLVs; the delay is that of CLOSE
TYPES = {name: t for t, (name, _) in LAYOUTS.items()}


def frame(type_, body):
    return bytes([type_]) + put_bytes(body)


def encode(name, /, **f):
    """One whole frame from its fields."""
    body = b"BW" if name == "HELLO" else b""
    for field, kind in LAYOUTS[TYPES[name]][1]:
        if field != "retry" or f["code"] >> 5 == LATER:
            body += KINDS[kind][1](f[field])
    if name in REFUSALS and f.get("text"):
        body += put_varint(TEXT) + put_bytes(f["text"].encode())
    if name == "CLOSE" and f.get("retry"):
        body += put_varint(DELAY) + put_bytes(put_varint(f["retry"]))
    return frame(TYPES[name], body)


def subscribe(sub, filter_, *, policy=0, track=False, start=NOW, no_echo=False, publish_only=False, cursor=()):
    """SUBSCRIBE [W-4.4]; `cursor` is a list of (life, offset) and goes with start CURSOR."""
    opts = policy | track << 2 | start << 3 | no_echo << 5 | publish_only << 6
    body = put_varint(sub) + bytes([opts]) + put_bytes(filter_.encode())
    if start == CURSOR:
        body += put_varint(len(cursor)) + b"".join(bytes.fromhex(life) + put_varint(n) for life, n in cursor)
    return frame(0x04, body)


def publish(topic, payload, seq=None):
    """PUBLISH [W-5.1]; `topic` is a name or an id."""
    named = isinstance(topic, str)
    body = put_varint(seq) if seq is not None else b""
    body += put_bytes(topic.encode()) if named else put_varint(topic)
    return frame(0x40 | named | (seq is not None) << 1, body + payload)


def fields(type_, body):
    """(name, fields) of a frame that LAYOUTS knows."""
    name, layout = LAYOUTS[type_]
    b, f = Body(body), {}
    for field, kind in layout:
        if field != "retry" or f["code"] >> 5 == LATER:
            f[field] = KINDS[kind][0](b)
    key, value = b.tlvs()
    with contextlib.suppress(UnicodeDecodeError, ProtocolError):    # skipped if it is not what it should be
        if name in REFUSALS and key == TEXT and value:
            f["text"] = value.decode()
        if name == "CLOSE" and key == DELAY and f["code"] >> 5 == LATER:
            delay = Body(value)
            retry = delay.v32()
            if retry and not delay.rest():
                f["retry"] = retry
    return name, f


def decode(type_, body):
    """(name, fields) of a frame from a gateway. The name is "" for a frame that means nothing here [W-2.4], [W-3.3]."""
    if 0x50 <= type_ <= 0x5F:
        return "MESSAGE", message(type_, body)
    if type_ in (0x01, 0x04, 0x06) or 0x40 <= type_ <= 0x4F:
        raise ProtocolError(OUT_OF_ORDER, f"type {type_:02x} from a gateway")
    if type_ == 0x0D or type_ >= 0x80 and type_ not in LAYOUTS:
        return "", {}
    if type_ not in LAYOUTS:
        raise ProtocolError(UNKNOWN_TYPE, f"unknown type {type_:02x}")
    name, f = fields(type_, body)
    if name == "WELCOME" and not 10 <= f["recv"] <= 20:
        raise ProtocolError(MALFORMED, "recv out of range")
    if len(f.get("data", b"")) > 8:
        raise ProtocolError(MALFORMED, "more than eight bytes")
    return name, f


def message(type_, body):
    """MESSAGE [W-6.1], in all 16 types."""
    b, form = Body(body), type_ >> 2 & 3
    f = {"name": b.str()} if type_ & 1 else {"id": b.v32()}
    if type_ & 2:
        f["origin"] = b.v32()
        if f["origin"] == 0:
            raise ProtocolError(MALFORMED, "origin 0")
    f["offset_form"] = FORMS[form]
    if form:
        f["offset"] = b.u8() if form == 1 else b.varint()
    if form == 3:
        f["tlvs"] = b.bytes()
        Body(f["tlvs"]).tlvs()
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
            whole = bytes(self.buffer[:head + length])
            del self.buffer[:head + length]
            yield whole[0], whole[head:]

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
