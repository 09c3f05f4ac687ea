"""The device agrees with vectors.json, in both directions of its own frames and in what it counts, and comes back by the
rules. `BELLWIRE_GATEWAY=HOST:PORT` also puts `refusals` to a gateway."""
import contextlib
import io
import json
import os
import pathlib
import socket
import threading
import unittest

import bellwire_codec as codec
import bellwire_device as device
from bellwire_resume import Counter, Jump, Returning

VECTORS = json.loads((pathlib.Path(__file__).resolve().parent.parent / "vectors.json").read_text(encoding="utf-8"))
TOPIC = "broadcast/eu/kitchen"
A, C = "a1a2a3a4a5a6a7a8", "c1c2c3c4c5c6c7c8"
WELCOME, SUBSCRIBED, STREAM = "0212010c01840780800120001122334455667788", "0503010005", f"810c050101{A}0a"


def meaning(name, fields):
    """Fields in the form of the vectors: {key: value}."""
    out = {}
    for key, value in fields.items():
        if key == "code" or name == "ERROR" and key == "type":
            value = f"{value:02x}"
        out[key] = value.hex() if isinstance(value, bytes) else value
    return out


def encoded(name, m):
    """The frame of a meaning. None: a device has no use for it."""
    if name == "MESSAGE" or m.get("confirmed") or "tlvs" in m or name == "SUBSCRIBE" and "id" in m:
        return None
    if name == "PUBLISH":
        return codec.publish(m.get("name", m.get("id")), bytes.fromhex(m["payload"]), m.get("seq"))
    if name == "SUBSCRIBE":
        m = {**m, "cursor": [(p["life"], p["offset"]) for p in m.get("cursor", [])]}
        return codec.subscribe(m.pop("sub"), m.pop("filter"), **m)
    fields = dict(m)
    if "code" in m:
        fields["code"] = int(m["code"], 16)
    if name == "ERROR":
        fields["type"] = int(m["type"], 16)
    if "data" in m:
        fields["data"] = bytes.fromhex(m["data"])
    return codec.encode(name, **fields)


def frames(data, limit=2**20, cut=None):
    reader, out = codec.FrameReader(limit), []
    for i in range(0, len(data), cut or len(data)):
        out += reader.feed(data[i:i + (cut or len(data))])
    return out, bytes(reader.buffer)


def one(data):
    (frame,), rest = frames(data)
    assert rest == b""
    return codec.decode(*frame)


def each(key, wanted=lambda v: True):
    """Calls the test once for each vector of `key` that is wanted, as a subtest."""
    def wrap(test):
        def run(self):
            all_ = [v for v in VECTORS[key] if wanted(v)]
            self.assertTrue(all_)
            for v in all_:
                with self.subTest(str(v)[:60]):
                    test(self, v)
        return run
    return wrap


def to_device(v):
    return v["direction"] != "D>G" and v["type"] != "AUTH"


class Codec(unittest.TestCase):
    def test_version(self):
        self.assertEqual(VECTORS["version"], 1)

    @each("frames", to_device)
    def test_decode(self, v):
        name, f = one(bytes.fromhex(v["hex"]))
        self.assertEqual((name, meaning(name, f)), (v["type"], v["meaning"]))

    @each("frames")
    def test_encode(self, v):
        frame = encoded(v["type"], v["meaning"])
        if frame is not None and "TLV is skipped" not in v["name"]:
            self.assertEqual(frame.hex(), v["hex"])

    @each("invalid", lambda v: v["receiver"] != "gateway")
    def test_invalid(self, v):
        with self.assertRaises(codec.ProtocolError) as caught:
            for frame in codec.FrameReader(v["max"]).feed(bytes.fromhex(v["hex"])):
                codec.decode(*frame)
        self.assertEqual(f"{caught.exception.code:02x}", v["code"])

    @each("frames", to_device)
    def test_every_cut_frame_is_refused_or_another(self, v):    # a shorter body never reads past its end
        (type_, body), = frames(bytes.fromhex(v["hex"]))[0]
        for n in range(len(body)):
            with contextlib.suppress(codec.ProtocolError):
                codec.decode(type_, body[:n])

    def test_types_that_no_gateway_sends(self):
        for type_, code in ((0x01, 0xA5), (0x04, 0xA5), (0x06, 0xA5), (0x4F, 0xA5), (0x03, 0xA2), (0x7F, 0xA2)):
            with self.assertRaises(codec.ProtocolError) as caught:
                codec.decode(type_, b"")
            self.assertEqual(caught.exception.code, code)
        for type_ in (0x0D, 0x84, 0xFF):                        # AUTH [W-3.3], and what may be skipped
            self.assertEqual(codec.decode(type_, b"?"), ("", {}))

    @each("streams")
    def test_streams(self, v):
        for cut in (1, 2, 3, 7, 64, None):
            got, rest = frames(bytes.fromhex(v["hex"]), v["max"], cut)
            self.assertEqual(([codec.frame(t, b).hex() for t, b in got], rest.hex()), (v["frames"], v["rest"]))

    @each("varints")
    def test_varints(self, v):
        self.assertEqual(codec.put_varint(v["value"]).hex(), v["hex"])
        self.assertEqual(codec.Body(bytes.fromhex(v["hex"])).varint(), v["value"])

    @each("invalid_varints")
    def test_invalid_varints(self, v):
        with self.assertRaises(codec.ProtocolError):
            codec.Body(bytes.fromhex(v)).varint()

    @each("names")
    def test_names(self, v):
        name = bytes.fromhex(v["hex"]) if "hex" in v else v["text"].encode()
        self.assertEqual((codec.valid_topic(name), codec.valid_filter(name)), (v["topic"], v["filter"]))


class Counting(unittest.TestCase):
    def count(self, frames_, start=codec.NOW, had=None):
        """(events in the form of the vectors, positions, index of the frame that is a jump)."""
        counter, events = Counter({TOPIC: dict(had or {})}), []
        counter.begin(True)
        counter.subs[1] = (TOPIC, start, counter.cursor(TOPIC))
        for i, frame in enumerate(frames_):
            try:
                for e in counter.handle(*one(bytes.fromhex(frame))):
                    events.append({"take": e["position"], "life": e["life"], "payload": e["payload"].hex()}
                                  if e["event"] == "message" else
                                  {"lost": e["count"], "life": e["life"], "reason": e["reason"]})
            except Jump:
                return events, counter.had[TOPIC], i
        return events, counter.had[TOPIC], None

    @each("counting")
    def test_vectors(self, v):
        start = {"now": codec.NOW, "cursor": codec.CURSOR}[v["start"]]
        got = self.count(v["frames"], start, {p["life"]: p["offset"] for p in v["had"]})
        self.assertEqual(got, (v["events"], {p["life"]: p["offset"] for p in v["positions"]},
                               len(v["frames"]) - 1 if v["broken"] else None))

    def test_another_life_ends_the_earlier(self):
        events, had, jump = self.count([SUBSCRIBED, STREAM, "5403050a61", f"810c050101{C}01", "5403050161"])
        self.assertEqual(([e["take"] for e in events], had, jump), ([10, 1], {C: 1}, None))

    def test_stream_that_was_not_told(self):
        self.assertEqual(self.count([SUBSCRIBED, STREAM, "520305026f"]), ([], {A: 9}, 2))
        self.assertEqual(self.count([SUBSCRIBED, "50020561"])[2], 1)

    def test_cursor_where_nothing_is_replayed(self):
        events, had, _ = self.count(["0503010105", STREAM], codec.CURSOR, {C: 5})
        self.assertEqual((events, had), ([{"lost": 0, "life": "", "reason": 0}], {C: 5, A: 9}))

    def test_cursor_has_the_lives_that_were_taken_from_last(self):
        counter = Counter({TOPIC: {f"{n:016x}": n for n in range(70)}})
        self.assertEqual(counter.cursor(TOPIC)[0], (f"{6:016x}", 6))


class Half:
    """A random source without chance."""

    def uniform(self, low, high):
        return (low + high) / 2


class ComingBack(unittest.TestCase):
    def setUp(self):
        self.r = Returning(["a:1", "b:1"], Half())

    def test_at_once_then_back_off(self):
        self.assertEqual([self.r.after(0x22, 1) for _ in range(3)], [("a:1", 0.5), ("a:1", 2.5), ("a:1", 5)])
        self.assertEqual(self.r.after(0x22, 60), ("a:1", 0.5))

    def test_without_close(self):
        self.assertEqual(self.r.after(None, 1), ("a:1", 0.5))       # served: as 21
        self.assertEqual([self.r.after(None) for _ in range(3)], [("b:1", 0.5), ("a:1", 2.5), ("b:1", 5)])
        alone = Returning(["a:1"], Half())                          # one failure is the whole list
        self.assertEqual(alone.after(None), ("a:1", 2.5))

    def test_later_and_the_limit(self):
        waits = [self.r.after(0x40)[1] for _ in range(9)]
        self.assertEqual(waits, [2.5, 5, 10, 20, 40, 80, 150, 150, 150])

    def test_delay_of_close(self):
        """As it stands, and no wait of the back-off."""
        self.assertEqual([self.r.after(0x42, delay=7) for _ in range(3)], [("b:1", 7), ("a:1", 7), ("b:1", 7)])
        self.assertEqual(self.r.after(0x42), ("a:1", 2.5))
        self.assertEqual(self.r.after(0x22, 1, delay=7), ("a:1", 0.5))

    def test_elsewhere(self):
        self.assertEqual(self.r.after(0x61, 100, "t:1", rest=0.25), ("t:1", 0.25))
        self.assertEqual(self.r.after(0x22, 5), ("t:1", 2.5))       # the target gave WELCOME: it is home
        self.assertEqual(self.r.after(0x60), ("a:1", 5))
        self.assertEqual(self.r.hops, 2)
        self.assertEqual((self.r.after(0x7F, 61), self.r.hops), (("b:1", 0.5), 1))
        for _ in range(300):
            self.r.after(0x60)
        self.assertEqual(self.r.hops, 255)

    def test_goaway_keeps_its_moment(self):
        self.assertEqual(self.r.after(0x20, 1, rest=7), ("a:1", 7.5))
        self.assertEqual(self.r.after(0x20, 1, rest=7), ("a:1", 7))     # back-off 2.5, not before the moment

    def test_never(self):
        self.assertEqual([self.r.after(c) for c in (0x80, 0x9F, 0xA0, 0xBF)], [None] * 4)
        self.assertEqual(self.r.after(0xC0), ("a:1", 2.5))


class Sessions(unittest.TestCase):
    """The command against a gateway that says what the script says, one entry for each connection."""

    def play(self, script, *args):
        """Each entry is a list of frames to send; a name in capitals is a type to wait for. Returns the exit status, the
        events and for each connection the frames that came."""
        wait_for = {"PUBLISH": 0x43, "SUBSCRIBE": 0x04, "CLOSE": 0x15}
        got = []

        def serve():
            for entries in script:
                with listener.accept()[0] as sock:
                    reader, came = codec.FrameReader(2**16), []
                    got.append(came)
                    for entry in entries:
                        while entry in wait_for and wait_for[entry] not in [type_ for type_, _ in came]:
                            came += reader.feed(sock.recv(4096))
                        if entry not in wait_for:
                            sock.sendall(bytes.fromhex(entry))
                    with contextlib.suppress(OSError):
                        while data := sock.recv(4096):
                            came += reader.feed(data)

        with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.redirect_stdout(io.StringIO()) as out:
            server = threading.Thread(target=serve, daemon=True)
            server.start()
            code = device.main(["--server", "127.0.0.1:%d" % listener.getsockname()[1], *args])
            server.join(5)
        return code, [json.loads(line) for line in out.getvalue().splitlines()], got

    def test_first_session(self):
        """[W-1.2], with a resume after CLOSE 22."""
        code, events, got = self.play([
            [WELCOME, "SUBSCRIBE", SUBSCRIBED, f"810d050101{A}e724", "50020561", "800405010103", "1503002200"],
            [WELCOME, "SUBSCRIBE", "0503010009", f"810d090401{A}eb24", "5a050904eb2461", "830101"],
        ], "sub", TOPIC, "--count", "2")
        told = [(e["event"], e.get("position", e.get("count"))) for e in events if e["event"] in ("message", "gap")]
        self.assertEqual((code, told), (0, [("message", 4711), ("gap", 3), ("message", 4715)]))
        self.assertEqual([type_ for type_, _ in got[1]], [0x01, 0x04, 0x15])
        self.assertEqual(codec.frame(*got[1][1]),
                         codec.subscribe(1, TOPIC, track=True, start=codec.CURSOR, cursor=[(A, 4714)]))

    def test_jump(self):
        code, events, got = self.play([[WELCOME, "SUBSCRIBE", SUBSCRIBED, f"810d050101{A}e724", "5403056861"]],
                                      "sub", TOPIC)
        self.assertEqual((code, events[-1]["event"]), (3, "jump"))
        self.assertEqual(codec.frame(*got[0][-1]), codec.encode("CLOSE", handle=0, code=0xA5, text=""))

    def test_goaway_waits_for_acks(self):
        code, events, got = self.play([
            [WELCOME, "PUBLISH", "0b0561904e0000", "0e020100", "CLOSE", "1503000000"],
            [WELCOME, "CLOSE", "1503000000"]], "pub", TOPIC, "x", "--ack")
        self.assertEqual(code, 0)
        self.assertEqual([e["event"] for e in events],
                         ["connected", "welcome", "goaway", "ack", "close", "reconnect", "connected", "welcome"])
        self.assertEqual([type_ for type_, _ in got[0]], [0x01, 0x43, 0x15])
        hops = [codec.fields(0x01, connection[0][1][2:])[1]["hops"] for connection in got]
        self.assertEqual(hops, [0, 1])

    def test_goaway_stays_valid(self):
        """[W-3.5] whatever ends TCP, but for a code that says never."""
        _, events, _ = self.play([[WELCOME, "SUBSCRIBE", SUBSCRIBED, "0b06619003c80100", "1503002200"], ["1503008200"]],
                                 "sub", TOPIC)
        closes = [e["code"] for e in events if e["event"] == "close"]
        self.assertEqual(closes, ["61", "82"])

    def test_delay(self):
        _, events, _ = self.play([["15070042000302f403"], ["1503008200"]], "sub", TOPIC)
        self.assertEqual([e["wait"] for e in events if e["event"] == "reconnect"], [0.5])

    def test_token(self):
        """It is in HELLO; when it has expired there is no other one."""
        code, _, got = self.play([[WELCOME, "SUBSCRIBE", "1503002500"]], "--token", "e30.c2ln", "sub", TOPIC)
        hello = codec.fields(0x01, got[0][0][1][2:])[1]
        self.assertEqual((code, hello["method"], hello["auth"]), (1, 1, "e30.c2ln"))

    def test_never_again(self):
        code, events, _ = self.play([["1503008200"]], "sub", TOPIC)
        self.assertEqual((code, events[-1]["code"]), (1, "82"))


@unittest.skipUnless(os.environ.get("BELLWIRE_GATEWAY"), "no BELLWIRE_GATEWAY")
class Gateway(unittest.TestCase):
    """Without authenticator and central service, broadcasting broadcast/#."""

    def test_refusals(self):
        host, port = os.environ["BELLWIRE_GATEWAY"].rsplit(":", 1)
        for v in VECTORS["refusals"]:
            with self.subTest(v["name"]), socket.create_connection((host, int(port)), 5) as sock:
                hello = VECTORS["frames"][0]["hex"] if v["after"] == "welcome" else ""
                sock.sendall(bytes.fromhex(hello + "".join(v["send"])))
                want = [(e["type"], e["meaning"]) for e in v["expect"]]
                if hello:
                    want.insert(0, ("WELCOME", {}))
                if not v["closed"]:
                    sock.sendall(codec.encode("PING", data=b"end"))
                    want.append(("PONG", {"data": b"end".hex()}))
                reader, got, data = codec.FrameReader(128), [], b"."
                while data and (v["closed"] or len(got) < len(want)):
                    data = sock.recv(4096)
                    got += [codec.decode(*frame) for frame in reader.feed(data)]
                self.assertEqual([name for name, _ in got], [name for name, _ in want])
                for (name, f), (_, wanted) in zip(got, want):
                    self.assertEqual({**meaning(name, f), **wanted}, meaning(name, f))


if __name__ == "__main__":
    unittest.main()
