"""WebSocket by the frame: sends what `frames_cases.py` lists, right or wrong, and tells what came back.

`frames.py serve` prints where it listens, says back what it hears (Python's `websockets`), and prints how each connection ended
for it, by the number of its case. `frames.py play ADDRESS [PREFIX]`
plays the cases there, those with names that begin so, and prints one JSON object: by the name of the case what came of it, and
what of that is not as the case says. The client is of no library: a library would not send what is wrong.
"""

import contextlib
import hashlib
import json
import socket
import struct
import sys
import threading
import zlib
from concurrent import futures
from dataclasses import dataclass, field

PATIENCE = 20
TAIL = b"\x00\x00\xff\xff"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SERVER_TAKES = 20 << 20


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", form=None):
    """A frame (RFC 6455 section 5.2). `form`: with so many bits for its length, even where fewer would do."""
    size = len(payload)
    form = form or (7 if size < 126 else 16 if size < 1 << 16 else 64)
    short = {7: size, 16: 126, 64: 127}[form]
    head = bytes([fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 | short])
    head += {7: b"", 16: struct.pack(">H", size & 0xFFFF), 64: struct.pack(">Q", size)}[form]
    return head + payload if mask is None else head + mask + masked(payload, mask)


def masked(payload, mask):
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def fragments(opcode, parts, **more):
    """A message in these parts."""
    last = len(parts) - 1
    return [frame(0 if n else opcode, part, fin=n == last, **more) for n, part in enumerate(parts)]


@dataclass
class Chop:
    """Bytes that are written so many at a time."""

    bytes: bytes
    at_a_time: int


@dataclass
class Wait:
    """Until so many messages and pongs have come, or none will come any more."""

    data: int = 0
    pongs: int = 0


@dataclass
class Fin:
    """Ends the client's half."""


@dataclass
class Case:
    """What is sent, and what must come of it."""

    name: str
    acts: list
    number: int = field(default=0, kw_only=True)
    # The messages that come back, each its opcode and its payload, and the payloads of pongs.
    data: list = field(default_factory=list)
    pongs: list = field(default_factory=list)
    # The codes that the server may close with: 1005 is a close without a code, None is none. 1000 answers ours.
    codes: tuple = (1000,)
    # What is offered as Sec-WebSocket-Extensions, and whether that is agreed on.
    offer: str | None = None
    agreed: bool = False
    # The client has said its last word: no close of the player's.
    over: bool = False


class Link:
    """A connection, and all that came on it so far."""

    def __init__(self, address, case):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.more, self.inflate = threading.Condition(), zlib.decompressobj(-15)
        self.data, self.control, self.closed, self.end = [], [], None, None
        self.status, self.extensions, held = self.shake_hands(case)
        self.afresh = "server_no_context_takeover" in (self.extensions or "")
        # From here on one thread sends and one receives, and a timeout would be that of both.
        self.socket.settimeout(None)
        threading.Thread(target=self.read, args=(bytearray(held),), daemon=True).start()

    def shake_hands(self, case):
        offered = f"Sec-WebSocket-Extensions: {case.offer}\r\n" if case.offer else ""
        self.socket.sendall(
            f"GET /frames/{case.number} HTTP/1.1\r\nHost: orders\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{offered}"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        come = b""
        while b"\r\n\r\n" not in come:
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionError(f"no answer but {come!r}")
            come += more
        head, held = come.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), fields.get("sec-websocket-extensions"), held

    def read(self, held):
        try:
            while True:
                self.take(held)
                more = self.socket.recv(1 << 18)
                if not more:
                    return self.note(end="fin" if not held else "fin within a frame")
                held += more
        except OSError:
            self.note(end="reset")

    def note(self, **what):
        with self.more:
            for name, value in what.items():
                setattr(self, name, value)
            self.more.notify_all()

    def take(self, held):
        """The frames that are whole."""
        while len(held) >= 2:
            short, at = held[1] & 127, 2
            wide = {126: 2, 127: 8}.get(short, 0)
            size = int.from_bytes(held[2 : 2 + wide], "big") if wide else short
            end = at + wide + size
            if len(held) < max(end, 2 + wide):
                return
            first, payload = held[0], bytes(held[at + wide : end])
            del held[:end]
            self.hear(first >> 7, first >> 4 & 7, first & 15, payload)

    def hear(self, fin, rsv, opcode, payload):
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            return self.note(closed=[code, payload[2:].decode("utf-8", "replace")])
        with self.more:
            if opcode > 7:
                self.control.append([opcode, payload.hex()])
            else:
                self.data.append([fin, rsv, opcode, len(payload), *digest(self.inflated(payload) if rsv == 4 else payload)])
            self.more.notify_all()

    def inflated(self, payload):
        inflate = zlib.decompressobj(-15) if self.afresh else self.inflate
        return inflate.decompress(payload + TAIL)

    def wait(self, awaited):
        with self.more:
            self.more.wait_for(lambda: self.end or awaited(), PATIENCE)

    def do(self, act):
        match act:
            case Chop(data, size):
                for at in range(0, len(data), size):
                    self.socket.sendall(data[at : at + size])
            case Wait(data, pongs):
                self.wait(lambda: self.closed or (len(self.data) >= data and len(self.control) >= pongs))
            case Fin():
                self.socket.shutdown(socket.SHUT_WR)
            case _:
                self.socket.sendall(act)


def digest(payload):
    """How long it is, and of what."""
    return [len(payload), hashlib.sha1(payload).hexdigest()[:12]]


def play(address, case):
    link = Link(address, case)
    lost = threading.Timer(3 * PATIENCE, link.socket.shutdown, [socket.SHUT_RDWR])
    lost.start()
    # What comes back tells enough of a connection that takes nothing any more.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for act in case.acts:
            link.do(act)
        link.do(Wait(len(case.data), len(case.pongs)))
        if 1000 not in case.codes:
            link.wait(lambda: link.closed)
        if not case.over:
            link.do(frame(CLOSE, struct.pack(">H", link.closed[0] if link.closed and link.closed[0] != 1005 else 1000)))
    link.wait(lambda: False)
    lost.cancel()
    came = {
        "number": case.number,
        "status": link.status,
        "extensions": link.extensions,
        "data": link.data,
        "control": link.control,
        "close": link.closed,
        "end": link.end or "open",
    }
    link.socket.close()
    return {**came, "wrong": wrong(case, came)}


def wrong(case, came):
    """What is not as the case says."""
    data = [[opcode, *digest(payload)] for opcode, payload in case.data]
    found = {
        "status": (came["status"], 101),
        "agreed": (came["extensions"] is not None, case.agreed),
        "data": ([each[2:3] + each[4:] for each in came["data"]], data),
        "pongs": (came["control"], [[PONG, payload.hex()] for payload in case.pongs]),
        "end": (came["end"], "fin"),
    }
    told = [f"{what}: {str(is_)[:200]} instead of {str(wanted)[:200]}" for what, (is_, wanted) in found.items() if is_ != wanted]
    code = came["close"] and came["close"][0]
    return told + ([] if code in case.codes else [f"code: {code} instead of one of {case.codes}"])


def played(address, case):
    try:
        return play(address, case)
    except Exception as error:
        return {"wrong": [f"{type(error).__name__}: {error}"]}


def serve():
    import asyncio

    from websockets.asyncio.server import serve
    from websockets.exceptions import ConnectionClosed

    async def echo(connection):
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)
        await connection.wait_closed()
        print("ended", connection.request.path, connection.close_code, connection.close_reason, flush=True)

    async def serving():
        async with serve(echo, "127.0.0.1", 0, max_size=SERVER_TAKES, ping_interval=None) as server:
            print("listening", server.sockets[0].getsockname()[1], flush=True)
            await asyncio.Future()

    asyncio.run(serving())


def main(address, prefix=""):
    from frames_cases import every

    cases = [case for case in every() if case.name.startswith(prefix)]
    with futures.ThreadPoolExecutor(6) as players:
        told = dict(zip([case.name for case in cases], players.map(lambda case: played(address, case), cases), strict=True))
    assert len(told) == len(cases), "two cases of one name"
    print(json.dumps(told))


if __name__ == "__main__":
    # The cases are made of what stands here, and not of another copy of it.
    sys.modules["frames"] = sys.modules["__main__"]
    serve() if sys.argv[1] == "serve" else main(*sys.argv[2:])
