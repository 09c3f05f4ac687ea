#!/usr/bin/env python3
"""A Bellwire device in Python's standard library: levels 0 and 1, and wildcards with TOPIC.

Written from PROTOCOL.md and vectors.json alone; clauses are named [W-…]. bellwire_codec has the frames, bellwire_resume
what outlives a connection; here are the connection and the command. Exit status of the command: 0 done, 1 refused,
2 usage, 3 a jump that nobody announced.
"""
import argparse
import collections
import itertools
import json
import os
import random
import select
import signal
import socket
import ssl
import sys
import time

from bellwire_codec import (AT_ONCE, C1, C3, CURSOR, FINE, KEPT, LAST, LATER, NOT_THIS_IDENTITY, NOT_THIS_SOFTWARE, NOW,
                            OK, OUT_OF_ORDER, OVERLOAD, TOKEN_EXPIRED, VERSION, FrameReader, ProtocolError, decode,
                            encode, is_wildcard, publish, subscribe, valid_filter, valid_topic)
from bellwire_resume import Backoff, Counter, Jump, Returning

PATIENCE = 10       # seconds for a connect, WELCOME or an answer to PING
FOREVER = float("inf")


class Ended(Exception):
    """A connection is over; code None: without CLOSE."""

    def __init__(self, code, why="", delay=0):
        super().__init__(why)
        self.code, self.delay = code, delay     # delay: seconds


class Done(Exception):
    """An event handler said that the device may leave."""


class Device:
    """Subscribes to `filters`, publishes what publish() was given, and comes back until it is told to leave.

    on_event gets a dict for all that happens, and makes the device leave by returning something true. With
    leave_when_sent it leaves when all publishes are answered. `auth` is a token, or a name where that is enough; `tls` an
    ssl.SSLContext, `host` what the gateway's certificate must name if that is not the host of the address.
    """

    def __init__(self, servers, on_event, *, auth="", filters=(), start=NOW, policy=0, track=True, recv=12, names=64,
                 slow=0.0, had=None, leave_when_sent=False, tls=None, host=""):
        self.returning, self.counter, self.on_event = Returning(servers), Counter(had), on_event
        self.auth, self.filters, self.start, self.policy, self.track = auth, filters, start, policy, track
        self.tls, self.host, self.session, self.delay = tls, host, None, 0
        self.recv, self.names, self.slow, self.leave_when_sent = recv, names, slow, leave_when_sent
        self.incarnation = random.getrandbits(32)
        self.seq, self.unsent, self.pending = 0, collections.deque(), {}    # pending: seq → (topic, payload)

    def publish(self, topic, payload, ack=False):
        if ack:
            self.seq += 1
            self.pending[self.seq] = (topic, payload)
        self.unsent.append((self.seq if ack else None, topic, payload))

    def run(self):
        """Returns the code that ended it: 00 when the event handler said so."""
        address, wait = self.returning.current, 0
        try:
            while True:
                time.sleep(wait)
                code, why = self._connection(address)
                self._emit(event="close", code=code, text=why)
                plan = self.returning.after(code, self.welcome and time.monotonic() - self.welcomed_at,
                                            self.goaway.get("target", ""),
                                            max(0, self.moment - time.monotonic()) if self.goaway else None, self.delay)
                if plan is None or code == TOKEN_EXPIRED and self.auth:     # there is no other token [W-3.1]
                    return code
                address, wait = plan
                self._emit(event="reconnect", address=address, wait=round(wait, 3), hops=self.returning.hops)
        except Done:
            return OK

    def _emit(self, **event):
        if self.on_event(event):
            raise Done

    # One connection

    def _connection(self, address):
        """From connect to its end: (code, why)."""
        now = time.monotonic()
        self.sock, self.welcome, self.goaway, self.leaving, self.delay = None, None, {}, False, 0
        self.sent_at, self.interval, self.deadline = now, 60, now + PATIENCE
        self.credit, self.waiting, self.timers = 0, collections.deque(), []
        self.numbers, self.requests = itertools.count(1), Backoff(random)
        again = [(seq, *self.pending[seq]) for seq in sorted(self.pending)]
        self.unsent = collections.deque(again + [u for u in self.unsent if u[0] is None])
        reader = FrameReader(2**self.recv)
        try:
            self.sock = self._dial(address)
            self._emit(event="connected", address=address)
            self._send(encode("HELLO", min=1, max=1, recv=self.recv, flags=int(self.track), names=self.names,
                              keepalive=0, incarnation=self.incarnation, hops=self.returning.hops, table=0,
                              method=1 if self.auth else 0, auth=self.auth))
            while True:
                data = self._receive(self._due(), 1024 if self.slow else 65536)
                if data is None:
                    continue
                if not data:
                    raise Ended(None, "connection ended without CLOSE")
                if self.welcome and not self.leaving:
                    self.deadline = FOREVER
                for frame in reader.feed(data):
                    self._frame(*decode(*frame))
                time.sleep(self.slow)
        except ProtocolError as e:              # comes back as for the range 40–5F [W-3.0]
            self._say_close(e.code)
            self._emit(event="jump" if isinstance(e, Jump) else "broken", text=str(e))
            return OVERLOAD, str(e)
        except Ended as e:
            self.delay = 0 if self.goaway else e.delay
            return self._code(e.code), str(e)
        except OSError as e:
            return self._code(None), str(e)
        except (Done, KeyboardInterrupt):
            self._say_close(OK)
            raise
        finally:
            if self.sock:
                if self.tls:
                    self.session = self.sock.session or self.session
                self.sock.close()

    def _code(self, code):
        """The code that counts after the end of TCP: that of GOAWAY, if one came [W-3.5]."""
        if self.goaway and (code is None or code >> 5 not in (NOT_THIS_IDENTITY, NOT_THIS_SOFTWARE)):
            return self.goaway["code"]
        if self.leaving:
            raise Done
        return code

    def _dial(self, address):
        host, _, port = address.rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        if self.tls:                            # [W-1.1]; the context checks the certificate
            sock = self.tls.wrap_socket(sock, server_hostname=self.host or host.strip("[]"), session=self.session)
        return sock

    def _receive(self, seconds, most):
        """What came within so many seconds; b"" at the end, None if nothing did. TLS may have bytes of its own to read, and
        bytes left that select() cannot see."""
        waiting = self.tls and self.sock.pending()
        if not waiting and not select.select([self.sock], [], [], seconds)[0]:
            return None
        self.sock.settimeout(0)
        try:
            return self.sock.recv(most)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        finally:
            self.sock.settimeout(PATIENCE)

    def _send(self, frame):
        self.sock.sendall(frame)
        self.sent_at = time.monotonic()

    def _say_close(self, code):
        try:
            self._send(encode("CLOSE", handle=0, code=code, text=""))
        except (OSError, AttributeError):
            pass                    # it is gone already

    def _leave(self):
        """What was under way comes before the gateway's CLOSE [W-3.6]."""
        self.leaving, self.deadline = True, time.monotonic() + 2
        self._say_close(OK)

    def _due(self):
        """Does what is due and returns the seconds until something else is."""
        now = time.monotonic()
        if now >= self.deadline:
            raise Ended(None, "nothing came in time")
        times = [self.deadline]
        if not self.leaving and now >= self.sent_at + 0.8 * self.interval:
            self._send(encode("PING", data=b""))
            self.deadline = min(self.deadline, now + PATIENCE)
        if self.goaway and not self.leaving:
            ready = now >= self.leave_at and (not self.waiting or now >= self.gone_at)
            if ready:
                self._leave()
            times.append(self.leave_at if now < self.leave_at else self.gone_at)
        if self.welcome and not self.leaving and not (self.goaway and now >= self.leave_at):
            for timer in [t for t in self.timers if t[0] <= now]:
                self.timers.remove(timer)
                timer[1]()
            self._pump()
            times += [when for when, _ in self.timers]
        if not self.leaving:
            times.append(self.sent_at + 0.8 * self.interval)
        return max(0, min(*times, self.deadline) - now)

    def _later(self, seconds, action):
        self.timers.append((time.monotonic() + seconds, action))

    def _retry(self, f):
        """Seconds that the gateway wants, and a random part of the same length on top; 0: it did not say [W-8.3]."""
        retry = f.get("retry", 0) / 1000
        return retry + random.uniform(0, retry)

    def _pump(self):
        """Sends what credit allows [W-5.3]; `waiting` keeps the order of sending of those that want an ACK."""
        while self.unsent:
            seq, topic, payload = self.unsent[0]
            frame = publish(topic, payload, seq)
            if len(frame) > min(self.welcome["credit"], 2**self.welcome["recv"]):
                self.pending.pop(seq, None)
                self._emit(event="refused", seq=seq, code=C1)
            elif len(frame) > self.credit:
                return
            else:
                self.credit -= len(frame)
                if seq:
                    self.waiting.append(seq)
                self._send(frame)
            self.unsent.popleft()
        if self.leave_when_sent and not self.pending:
            self._leave()

    # Frames

    def _frame(self, name, f):
        if not self.welcome and name not in ("WELCOME", "ERROR", "CLOSE", "GAP", "STREAM", "END", "LIVE", ""):
            raise ProtocolError(OUT_OF_ORDER, f"{name} before WELCOME")
        if name in ("STREAM", "END", "LIVE", "ERROR", "GOAWAY"):
            self._emit(event=name.lower(), **f)
        for event in self.counter.handle(name, f):
            self._emit(**event)
        if handler := getattr(self, "_on_" + name.lower(), None):
            handler(f)

    def _on_welcome(self, f):
        if self.welcome or f["version"] != 1:
            raise ProtocolError(OUT_OF_ORDER if self.welcome else VERSION, "WELCOME")
        self.welcome, self.credit, self.welcomed_at = f, f["credit"], time.monotonic()
        self.interval, self.deadline = max(f["keepalive"], 1), FOREVER
        self._emit(event="welcome", **f)
        self.counter.begin(self.track and bool(f["flags"] & 1))
        for filter_ in self.filters:
            self._subscribe(filter_, self.start)

    def _subscribe(self, filter_, start):
        cursor = [] if is_wildcard(filter_) or not self.track else self.counter.cursor(filter_)
        sub, start = next(self.numbers), CURSOR if cursor else start
        self.counter.subs[sub] = (filter_, start, cursor)
        self._send(subscribe(sub, filter_, policy=self.policy, track=self.track, start=start, cursor=cursor))

    def _on_subscribed(self, f):
        if f["sub"] not in self.counter.subs:
            return
        filter_ = self.counter.subs[f["sub"]][0]
        self._emit(event="subscribed", filter=filter_, **f)
        if f["code"] >> 5 == FINE:
            self.requests.n = 0
            return
        del self.counter.subs[f["sub"]]
        if f["code"] == C3:
            self.counter.had.pop(filter_, None)
            self._emit(event="gap", topic=filter_, life="", count=0, reason=0)
            self._subscribe(filter_, KEPT)
        elif f["code"] >> 5 in (AT_ONCE, LATER):
            wait = max(self._retry(f), self.requests.wait())
            self._later(wait, lambda: self._subscribe(filter_, self.start))
        else:
            self._emit(event="refused", filter=filter_, code=f["code"])

    def _on_unsubscribed(self, f):
        filter_, _, _ = self.counter.subs.pop(f["sub"], ("", 0, 0))
        if filter_ and f["code"] >> 5 == LATER:
            self._later(self.requests.wait(), lambda: self._subscribe(filter_, self.start))
        elif filter_:
            self._emit(event="refused", filter=filter_, code=f["code"])

    def _on_ping(self, f):
        if not self.leaving:
            self._send(encode("PONG", data=f["data"]))

    def _on_ack(self, f):
        seq, kind = f["seq"], f["code"] >> 5
        if seq not in self.waiting:
            return
        if kind == FINE:                # all that was sent up to here
            done = [self.waiting.popleft() for _ in range(self.waiting.index(seq) + 1)]
            for n in done:
                del self.pending[n]
            self.requests.n = 0
            self._emit(event="ack", done=done, **f)
            return
        self.waiting.remove(seq)
        self._emit(event="ack", **f)
        if kind in (AT_ONCE, LATER):
            again = (seq, *self.pending[seq])
            self._later(self._retry(f) or self.requests.wait(), lambda: self.unsent.append(again))
        else:
            del self.pending[seq]
            self._emit(event="refused", seq=seq, code=f["code"])

    def _on_credit(self, f):
        if f["handle"] == 0:
            self.credit += f["bytes"]

    def _on_goaway(self, f):
        """[W-3.5]; a later one replaces it."""
        now = time.monotonic()
        self.goaway, self.gone_at = f, now + f["within"] / 1000
        self.moment = now + random.uniform(0, f["spread"] / 1000)       # when it comes back
        self.leave_at = self.moment if f["within"] else now

    def _on_close(self, f):
        if f["handle"] == 0:
            raise Ended(f["code"], f["text"], f.get("retry", 0) / 1000)


# The command -----------------------------------------------------------------------------------------------------

STARTS, POLICIES = {"now": NOW, "last": LAST, "kept": KEPT}, ["oldest", "latest", "lossless"]


def printable(event):
    out = {}
    for key, value in event.items():
        if key == "payload":
            value = value.decode(errors="backslashreplace")
        elif key in ("code", "type") and value is not None:
            value = f"{value:02x}"
        out[key] = value
    return out


def arguments(argv):
    p = argparse.ArgumentParser(description="A Bellwire device.")
    p.add_argument("--server", action="append", required=True, metavar="HOST:PORT", help="may be repeated")
    p.add_argument("--device", default="", help="name, where the gateway takes one")
    p.add_argument("--token", default="", help="token that names the device and proves it")
    p.add_argument("--tls", action="store_true", help="speak TLS 1.3")
    p.add_argument("--ca", metavar="F", help="whom to believe, instead of those of the system")
    p.add_argument("--cert", metavar="F", help="certificate of the device, with its key")
    p.add_argument("--server-name", default="", help="what the gateway's certificate must name")
    p.add_argument("--recv", type=int, default=12, choices=range(7, 21), metavar="LOG2", help="largest frame (12)")
    commands = p.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("sub", help="subscribe and print one JSON object per event")
    sub.add_argument("filter", nargs="+")
    sub.add_argument("--count", type=int, default=0, help="leave after so many messages")
    sub.add_argument("--cursor-file", metavar="F", help="keeps the positions")
    sub.add_argument("--start", default="now", choices=STARTS, help="for topics without position")
    sub.add_argument("--slow-ms", type=int, default=0, metavar="N", help="sleep between reads")
    sub.add_argument("--policy", default="oldest", choices=POLICIES)
    sub.add_argument("--names", type=int, default=64, help="0: wildcards come with names and are not counted")
    sub.add_argument("--no-track", action="store_true", help="level 0")
    pub = commands.add_parser("pub", help="publish")
    pub.add_argument("topic")
    pub.add_argument("payload", help="{n} is the number of the message")
    pub.add_argument("--count", type=int, default=1)
    pub.add_argument("--ack", action="store_true")
    args = p.parse_args(argv)
    bad = [f for f in getattr(args, "filter", []) if not valid_filter(f.encode())]
    if bad or args.command == "pub" and not valid_topic(args.topic.encode()):
        p.error("not a filter: " + " ".join(bad) if bad else "not a topic: " + args.topic)
    return args


def tls_context(args):
    """[W-1.1]"""
    if not (args.tls or args.ca or args.cert):
        return None
    context = ssl.create_default_context(cafile=args.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["bellwire/1"])
    if args.cert:
        context.load_cert_chain(args.cert)
    return context


def main(argv=None):
    args = arguments(argv)
    had, path, seen = {}, getattr(args, "cursor_file", None), collections.Counter()
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            had = json.load(file)

    def save():
        if path:
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump(had, file)
            os.replace(path + ".new", path)

    def on_event(event):
        kind = event["event"]
        seen[kind] += 1
        print(json.dumps(printable(event), ensure_ascii=False), flush=True)
        if kind in ("message", "gap", "stream", "end", "live"):
            save()                  # after it was done with: a crash repeats and never loses [W-6.8]
        if args.command == "sub":
            return kind == "jump" or seen["refused"] >= len(args.filter) or 0 < args.count <= seen["message"]

    who = {"auth": args.token or args.device, "tls": tls_context(args), "host": args.server_name}
    if args.command == "sub":
        device = Device(args.server, on_event, **who, filters=args.filter, recv=args.recv, had=had,
                        start=STARTS[args.start], policy=POLICIES.index(args.policy), track=not args.no_track,
                        names=args.names, slow=args.slow_ms / 1000)
    else:
        device = Device(args.server, on_event, **who, recv=args.recv, track=False, names=0,
                        leave_when_sent=True)
        for n in range(1, args.count + 1):
            device.publish(args.topic, args.payload.replace("{n}", str(n)).encode(), args.ack)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = OK
    try:
        code = device.run()
    except KeyboardInterrupt:
        pass
    return 3 if seen["jump"] else int(code != OK or any(seen[k] for k in ("refused", "error", "broken")))


if __name__ == "__main__":
    sys.exit(main())
