"""WebSocket of another make: a server that says back what it hears, and clients of it.

`talk.py serve [ADDRESS]` prints where it listens, and then how each connection ended for it; it ends with SIGTERM, and closes
what is open. `talk.py CASE ADDRESS` makes the connections of a case there and prints what came of them, as one JSON object.
"""

import asyncio
import json
import signal
import sys
import time

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

BIG = 4 << 20
PATIENCE = 20


def say(*words):
    print(*words, flush=True)


def chosen(socket, offered):
    return next((name for name in ("talk.v2", "talk.v1") if name in offered), None)


async def answer(socket):
    path = socket.request.path
    say("caller", path, socket.request.headers.get("x-forwarded-client-cert", "nobody"))
    try:
        if path == "/first":
            await socket.send("hello")
        if path == "/pings":
            say("pong within", await asyncio.wait_for(await socket.ping(b"server"), PATIENCE) < PATIENCE)
        if path == "/bye":
            await socket.close(4002, "bye, wørld")
        async for message in socket:
            if message == "die":
                socket.transport.abort()
            await socket.send(message)
    except ConnectionClosed:
        pass
    say("closed", path, socket.close_code, socket.close_reason)


def asked_to_end():
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    return asked


async def serving(address="127.0.0.1:0"):
    host, port = address.rsplit(":", 1)
    asked = asked_to_end()
    async with serve(answer, host, int(port), max_size=BIG * 2, select_subprotocol=chosen) as server:
        say("listening", server.sockets[0].getsockname()[1])
        await asked.wait()


class Cases:
    def __init__(self, address):
        self.host, self.port = address.rsplit(":", 1)

    def connect(self, path, **more):
        """Dials the address and names the service."""
        more = {"max_size": BIG * 2, "proxy": None, "open_timeout": PATIENCE, **more}
        return connect(f"ws://orders{path}", host=self.host, port=int(self.port), **more)

    async def echo(self):
        big, said = bytes(range(256)) * (BIG // 256), []
        async with self.connect("/echo", compression=None) as socket:
            for message in ["pears", "", b"\x00\xff", "ø" * 1000]:
                await socket.send(message)
                said.append(await socket.recv() == message)
            await socket.send(big)
            said.append(await socket.recv() == big)
            # In fragments, each on its own.
            await socket.send(["one ", "two ", "three"])
            said.append(await socket.recv() == "one two three")
            extensions = socket.response.headers.get("sec-websocket-extensions")
        return {"same": said, "extensions": extensions, "code": socket.close_code}

    async def deflated(self):
        text = "many apples " * 100_000
        async with self.connect("/deflated") as socket:
            await socket.send(text)
            same = await socket.recv() == text
            extensions = socket.response.headers["sec-websocket-extensions"]
        return {"same": same, "deflated": extensions.startswith("permessage-deflate"), "code": socket.close_code}

    async def subprotocol(self):
        async with self.connect("/subprotocol", subprotocols=["talk.v1", "talk.v3"]) as socket:
            return socket.subprotocol

    async def first(self):
        """The server speaks first, right behind its 101."""
        async with self.connect("/first") as socket:
            return await asyncio.wait_for(socket.recv(), PATIENCE)

    async def pings(self):
        async with self.connect("/pings", ping_interval=None) as socket:
            seconds = await asyncio.wait_for(await socket.ping(b"client"), PATIENCE)
            return seconds < PATIENCE

    async def closing(self):
        async with self.connect("/by-client") as ours:
            await ours.close(4001, "enøugh")
        async with self.connect("/bye") as theirs:
            await theirs.wait_closed()
        async with self.connect("/died") as died:
            await died.send("die")
            await died.wait_closed()
        cut = await self.connect("/cut")
        cut.transport.abort()
        return [[each.close_code, each.close_reason] for each in (ours, theirs, died)]

    async def many(self):
        async def one(number):
            async with self.connect(f"/many/{number}") as socket:
                for n in range(20):
                    message = f"{number}: {n}"
                    await socket.send(message)
                    if await asyncio.wait_for(socket.recv(), PATIENCE) != message:
                        return False
            return socket.close_code == 1000

        return sum(await asyncio.gather(*map(one, range(100))))

    async def denied(self):
        try:
            await self.connect("/secret")
        except InvalidStatus as refused:
            response = refused.response
            return [response.status_code, response.headers["proxy-status"], json.loads(response.body)["error"]]

    async def load(self):
        """Talks without a pause until SIGTERM; who is cut off comes back at once."""
        over, told = asked_to_end(), {"opened": 0, "messages": 0, "failed": [], "codes": []}

        async def talking():
            while not over.is_set():
                before = time.monotonic()
                try:
                    socket = await self.connect("/load")
                except Exception as error:
                    answer = getattr(error, "response", None)
                    told["failed"].append(repr(error) if answer is None else f"{error!r} {answer.headers!r}")
                    continue
                if time.monotonic() - before > 2:
                    told["failed"].append("it took long to open")
                told["opened"] += 1
                try:
                    while not over.is_set():
                        message = str(told["messages"])
                        await socket.send(message)
                        if await socket.recv() != message:
                            told["failed"].append("another message came back")
                        told["messages"] += 1
                        await asyncio.sleep(0.01)
                except ConnectionClosed:
                    told["codes"].append(socket.close_code)
                await socket.close()

        talkers = [asyncio.create_task(talking()) for _ in range(6)]
        say("calling")
        await over.wait()
        await asyncio.gather(*talkers)
        return told

    async def idle(self):
        """Quiet for longer than an idle HTTP connection is kept."""
        async with self.connect("/idle", ping_interval=None) as socket:
            before = time.monotonic()
            await asyncio.sleep(3)
            await socket.send("still there?")
            return [await socket.recv(), time.monotonic() - before >= 3]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serving(*sys.argv[2:]))
    else:
        say(json.dumps(asyncio.run(getattr(Cases(sys.argv[2]), sys.argv[1])())))
