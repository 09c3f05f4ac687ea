"""The device agrees with vectors.json, both ways. `BELLWIRE_GATEWAY=HOST:PORT` also puts `refusals` to a gateway."""
import contextlib
import io
import json
import os
import pathlib
import socket
import threading
import unittest

import bellwire_device as bw

VECTORS = json.loads((pathlib.Path(__file__).resolve().parent.parent / "vectors.json").read_text(encoding="utf-8"))
TOPIC = "broadcast/eu/kitchen"
WELCOME = "0212010c01840780800120001122334455667788"
HEX = {"payload", "data", "tlvs"}


def meaning(name, fields):
    """Fields in the form of the vectors."""
    out = {}
    for key, value in fields.items():
        if key == "code" or name == "ERROR" and key == "type":
            value = f"{value:02x}"
        out[key] = value.hex() if key in HEX else value
    return out


def fields(name, meaning):
    """The other way."""
    out = {}
    for key, value in meaning.items():
        if key == "code" or name == "ERROR" and key == "type":
            value = int(value, 16)
        out[key] = bytes.fromhex(value) if key in HEX else value
    return out


def frames(data, limit=2**20, cut=None):
    reader, out = bw.FrameReader(limit), []
    for i in range(0, len(data), cut or len(data)):
        out += reader.feed(data[i:i + (cut or len(data))])
    return out, bytes(reader.buffer)


def one(data):
    (frame,), rest = frames(data)
    assert rest == b""
    return bw.decode(*frame)


def each(key):
    """Calls the test once for each vector of `key`, as a subtest."""
    def wrap(test):
        def run(self):
            for v in VECTORS[key]:
                with self.subTest(str(v)[:60]):
                    test(self, v)
        return run
    return wrap


class Codec(unittest.TestCase):
    def test_version(self):
        self.assertEqual(VECTORS["version"], 1)

    @each("frames")
    def test_decode(self, v):
        name, f = one(bytes.fromhex(v["hex"]))
        self.assertEqual((name, meaning(name, f)), (v["type"], v["meaning"]))

    @each("frames")
    def test_encode(self, v):
        if "TLV is skipped" not in v["name"]:
            self.assertEqual(bw.encode(v["type"], **fields(v["type"], v["meaning"])).hex(), v["hex"])

    @each("invalid")
    def test_invalid(self, v):
        with self.assertRaises(bw.ProtocolError) as caught:
            for type_, body in bw.FrameReader(v["max"]).feed(bytes.fromhex(v["hex"])):
                bw.decode(type_, body)
        self.assertEqual(f"{caught.exception.code:02x}", v["code"])

    @each("frames")
    def test_every_cut_frame_is_refused_or_another(self, v):    # a shorter body never reads past its end
        (type_, body), = frames(bytes.fromhex(v["hex"]))[0]
        for n in range(len(body)):
            try:
                bw.decode(type_, body[:n])
            except bw.ProtocolError:
                pass

    @each("streams")
    def test_streams(self, v):
        for cut in (1, 2, 3, 7, 64, None):
            got, rest = frames(bytes.fromhex(v["hex"]), v["max"], cut)
            whole = [(bytes([t]) + bw.put_varint(len(b)) + b).hex() for t, b in got]
            self.assertEqual((whole, rest.hex()), (v["frames"], v["rest"]))

    @each("varints")
    def test_varints(self, v):
        self.assertEqual(bw.put_varint(v["value"]).hex(), v["hex"])
        self.assertEqual(bw.Body(bytes.fromhex(v["hex"])).varint(), v["value"])

    @each("invalid_varints")
    def test_invalid_varints(self, v):
        with self.assertRaises(bw.ProtocolError):
            bw.Body(bytes.fromhex(v)).varint()

    @each("names")
    def test_names(self, v):
        name = bytes.fromhex(v["hex"]) if "hex" in v else v["text"].encode()
        self.assertEqual((bw.valid_topic(name), bw.valid_filter(name)), (v["topic"], v["filter"]))

    @each("matches")
    def test_matches(self, v):
        self.assertEqual(bw.matches(v["filter"], v["topic"]), v["match"])

    @each("codes")
    def test_codes(self, v):
        ranges = ["fine", "at once", "later", "elsewhere", "never with this identity", "never with this software",
                  "not this request", "the customer's own"]
        self.assertEqual(ranges[int(v["code"], 16) >> 5], v["range"])

    @each("counting")
    def test_counting(self, v):
        tracker = bw.Tracker({TOPIC: {p["life"]: p["offset"] for p in v["had"]}})
        start = {"now": bw.NOW, "cursor": bw.CURSOR}[v["start"]]
        tracker.subscribe(sub=1, policy=0, track=True, start=start, no_echo=False, publish_only=False, filter=TOPIC,
                          **({"cursor": tracker.cursor(TOPIC)} if start == bw.CURSOR else {}))
        events, broken_at = [], None
        for i, frame in enumerate(v["frames"]):
            try:
                for e in tracker.handle(*one(bytes.fromhex(frame))):
                    events.append({"take": e["position"], "life": e["life"], "payload": e["payload"].hex()}
                                  if e["event"] == "message" else
                                  {"lost": e["count"], "life": e["life"], "reason": e["reason"]})
            except bw.Jump:
                broken_at = i
                break
        self.assertEqual(events, v["events"])
        self.assertEqual(sorted(tracker.had[TOPIC].items()),
                         sorted((p["life"], p["offset"]) for p in v["positions"]))
        self.assertEqual(broken_at, len(v["frames"]) - 1 if v["broken"] else None)


class Half:
    """A random source without chance."""

    def uniform(self, low, high):
        return (low + high) / 2


class ComingBack(unittest.TestCase):
    def setUp(self):
        self.r = bw.Returning(["a:1", "b:1"], Half())

    def test_at_once_then_back_off(self):
        self.assertEqual([self.r.after(0x22) for _ in range(3)], [("a:1", 0.5), ("a:1", 2.5), ("a:1", 5)])
        self.assertEqual(self.r.after(0x22, served=60), ("a:1", 0.5))

    def test_later_and_the_limit(self):
        waits = [self.r.after(0x40)[1] for _ in range(9)]
        self.assertEqual(waits, [2.5, 5, 10, 20, 40, 80, 150, 150, 150])

    def test_elsewhere(self):
        self.assertEqual(self.r.after(0x61, 100, "t:1", 0.0), ("t:1", 0.0))
        self.assertEqual(self.r.hops, 1)
        self.assertEqual(self.r.after(0x60), ("a:1", 2.5))
        self.assertEqual(self.r.hops, 2)
        self.assertEqual(self.r.after(0x7F, 61), ("b:1", 0.5))
        self.assertEqual(self.r.hops, 1)

    def test_lost(self):
        self.assertEqual([self.r.after(None) for _ in range(3)], [("b:1", 0.5), ("a:1", 2.5), ("b:1", 5)])

    def test_never(self):
        self.assertEqual([self.r.after(c) for c in (0x80, 0x9F, 0xA0, 0xBF)], [None] * 4)
        self.assertEqual(self.r.after(0xC0), ("a:1", 2.5))


class Sessions(unittest.TestCase):
    """The command against a gateway that says what the script says, one entry for each connection."""

    def play(self, script, *args):
        """Each entry is a list of frames to send; one in capitals is the name of a frame to wait for."""
        got = []

        def serve():
            for entries in script:
                with listener.accept()[0] as sock:
                    reader = bw.FrameReader(2**16)
                    got.append([])
                    for entry in [*entries, "END"]:
                        while entry.isupper() and entry not in [name for name, _ in got[-1]]:
                            if not (data := sock.recv(4096)):
                                break
                            got[-1] += [bw.decode(*frame) for frame in reader.feed(data)]
                        if not entry.isupper():
                            sock.sendall(bytes.fromhex(entry))

        with socket.create_server(("127.0.0.1", 0)) as listener, \
                contextlib.redirect_stdout(io.StringIO()) as out:
            server = threading.Thread(target=serve, daemon=True)
            server.start()
            code = bw.main(["--server", "127.0.0.1:%d" % listener.getsockname()[1], "--json", *args])
            server.join(5)
        return code, [json.loads(line) for line in out.getvalue().splitlines()], got

    def test_first_session(self):
        """[W-1.2], with a resume after CLOSE 22."""
        code, events, got = self.play([
            [WELCOME, "0503010005", "810d050101a1a2a3a4a5a6a7a8e724",
             "50110574656d703d32312e353b68756d3d3430", "800405010103", "1503002200"],
            [WELCOME, "0503010009", "810d090401a1a2a3a4a5a6a7a8eb24",
             "5a140904eb2474656d703d32312e353b68756d3d3430", "830101"]], "sub", TOPIC, "--count", "2")
        told = [(e["event"], e.get("position", e.get("count"))) for e in events if e["event"] in ("message", "gap")]
        self.assertEqual((code, told), (0, [("message", 4711), ("gap", 3), ("message", 4715)]))
        self.assertEqual([name for name, _ in got[1]], ["HELLO", "SUBSCRIBE", "CLOSE"])
        self.assertEqual(got[1][1][1]["cursor"], [{"life": "a1a2a3a4a5a6a7a8", "offset": 4714}])

    def test_jump(self):
        code, events, got = self.play([
            [WELCOME, "0503010005", "810d050101a1a2a3a4a5a6a7a8e724",
             "5412056874656d703d32312e353b68756d3d3430"]], "sub", TOPIC)
        self.assertEqual((code, events[-1]["event"]), (3, "jump"))
        self.assertEqual(got[0][-1], ("CLOSE", {"handle": 0, "code": 0xA5, "text": ""}))

    def test_goaway_waits_for_acks(self):
        code, events, got = self.play([
            [WELCOME, "PUBLISH", "0b0561904e0000", "0e020100"], [WELCOME, "PING", "0a046c617374"]],
            "pub", TOPIC, "x", "--ack")
        self.assertEqual(code, 0)
        self.assertEqual([e["event"] for e in events],
                         ["connected", "welcome", "goaway", "ack", "close", "reconnect", "connected", "welcome"])
        self.assertEqual([name for name, _ in got[0]], ["HELLO", "PUBLISH", "CLOSE"])
        self.assertEqual([connection[0][1]["hops"] for connection in got], [0, 1])

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
                    sock.sendall(bw.encode("PING", data=b"end"))
                    want.append(("PONG", {"data": b"end".hex()}))
                reader, got, data = bw.FrameReader(128), [], b"."
                while data and (v["closed"] or len(got) < len(want)):
                    data = sock.recv(4096)
                    got += [bw.decode(t, b) for t, b in reader.feed(data)]
                self.assertEqual([name for name, _ in got], [name for name, _ in want])
                for (name, f), (_, wanted) in zip(got, want):
                    self.assertEqual({**meaning(name, f), **wanted}, meaning(name, f))


if __name__ == "__main__":
    unittest.main()
