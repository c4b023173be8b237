"""The server of gRPC's interop cases (grpc.testing.TestService): grpcio, with protobuf by hand. Prints where it listens.

Both it and its client (`interop_cases.py`) look at their own bytes (`Tap`): whether a message is compressed stands before it
on the wire, and grpcio does not tell.
"""

import contextlib
import hashlib
import socket
import threading
import zlib
from collections import defaultdict, deque
from concurrent import futures

import grpc

SERVICE = "/grpc.testing.TestService/"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
OPTIONS = [("grpc.so_reuseport", 0), ("grpc.enable_retries", 0), ("grpc.default_authority", "orders")]
GZIP = grpc.Compression.Gzip


def varint(n):
    while n > 127:
        yield n & 127 | 128
        n >>= 7
    yield n


def field(number, value):
    """A field of a protobuf message: a number, or bytes."""
    if isinstance(value, int):
        return bytes([number << 3, *varint(value)]) if value else b""
    return bytes([number << 3 | 2, *varint(len(value))]) + value


def fields(message):
    """The fields of a protobuf message, by their numbers."""
    found, at = defaultdict(list), 0

    def number():
        nonlocal at
        n, shift = 0, 0
        while True:
            n |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return n

    while at < len(message):
        key, value = number(), number()
        if key & 7 == 2:
            at, value = at + value, message[at : at + value]
        found[key >> 3].append(value)
    return found


def one(message, number, otherwise=0):
    return fields(message).get(number, [otherwise])[-1]


def payload(held):
    """A Payload as the first field: these bytes, or so many zeros."""
    return field(1, field(2, bytes(held)))


def body(message):
    """That of a SimpleResponse, and of others whose first field is a Payload: its size, and whether it is all zeros."""
    held = one(one(message, 1, b""), 2, b"")
    return [len(held), not any(held)]


class Frames:
    """Reads the messages of gRPC out of one direction of an HTTP/2 connection."""

    def __init__(self, preface):
        self.preface, self.buffer, self.streams = preface, bytearray(), defaultdict(bytearray)

    def feed(self, data):
        """Whether each was compressed, and what it says."""
        self.buffer += data
        if len(self.buffer) >= self.preface:
            del self.buffer[: self.preface]
            self.preface = 0
        while not self.preface and len(self.buffer) >= 9:
            end = 9 + int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < end:
                break
            kind, flags, stream = self.buffer[3], self.buffer[4], bytes(self.buffer[5:9])
            data = bytes(self.buffer[9:end])
            del self.buffer[:end]
            if kind == 0:
                self.streams[stream] += data[1 : len(data) - data[0]] if flags & 8 else data
                yield from self.messages(self.streams[stream])

    @staticmethod
    def messages(held):
        while len(held) >= 5 and len(held) >= (end := 5 + int.from_bytes(held[1:5], "big")):
            compressed, message = bool(held[0]), bytes(held[5:end])
            del held[:end]
            yield compressed, zlib.decompressobj(47).decompress(message) if compressed else message


class Tap:
    """Passes connections on, and sees the messages on them before those whom it passes them to."""

    def __init__(self, to, asked=lambda *_: None, answered=lambda *_: None):
        self.to, self.seen = to, [asked, answered]
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            here, _ = self.listener.accept()
            there = socket.create_connection(self.to)
            for pair in [(here, there, Frames(24), self.seen[0]), (there, here, Frames(0), self.seen[1])]:
                threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    @staticmethod
    def pass_on(come, go, frames, seen):
        with contextlib.suppress(OSError):
            while data := come.recv(1 << 16):
                for message in frames.feed(data):
                    seen(*message)
                go.sendall(data)
        with contextlib.suppress(OSError):
            go.shutdown(socket.SHUT_WR)


class Arrived:
    """How the messages came that were not taken yet."""

    def __init__(self):
        self.lock, self.held = threading.Lock(), deque(maxlen=64)

    def note(self, compressed, message):
        with self.lock:
            self.held.append((hashlib.sha256(message).digest(), compressed))

    def take(self, message):
        """Whether this one came compressed."""
        known = hashlib.sha256(message).digest()
        with self.lock:
            found = next(held for held in self.held if held[0] == known)
            self.held.remove(found)
        return found[1]


class Service:
    """grpc.testing.TestService."""

    def __init__(self, arrived):
        self.arrived = arrived

    def begin(self, context):
        sent = dict(context.invocation_metadata())
        if INITIAL in sent:
            context.send_initial_metadata([(INITIAL, sent[INITIAL])])
        if TRAILING in sent:
            context.set_trailing_metadata([(TRAILING, sent[TRAILING])])

    def as_expected(self, message, number, context):
        """Refuses a message that is not compressed as it says."""
        came = self.arrived.take(message)
        expected = fields(message).get(number)
        if expected and bool(one(expected[0], 1)) != came:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"compressed: {came}")

    @staticmethod
    def status(message, context):
        if wanted := one(message, 7, b""):
            code = next(known for known in grpc.StatusCode if known.value[0] == one(wanted, 1))
            context.abort(code, one(wanted, 2, b"").decode())

    def EmptyCall(self, message, context):
        return message

    def UnaryCall(self, message, context):
        self.begin(context)
        self.as_expected(message, 8, context)
        self.status(message, context)
        if one(one(message, 6, b""), 1):
            context.set_compression(GZIP)
        return payload(one(message, 2))

    def StreamingInputCall(self, messages, context):
        total = 0
        for message in messages:
            self.as_expected(message, 2, context)
            total += body(message)[0]
        return field(1, total)

    def StreamingOutputCall(self, message, context):
        context.set_compression(GZIP)
        yield from self.outputs(message, context)

    def outputs(self, message, context):
        for wanted in fields(message)[2]:
            if not one(one(wanted, 3, b""), 1):
                context.disable_next_message_compression()
            yield payload(one(wanted, 1))

    def FullDuplexCall(self, messages, context):
        self.begin(context)
        for message in messages:
            self.status(message, context)
            yield from self.outputs(message, context)


class Handler(grpc.GenericRpcHandler):
    KINDS = {
        "EmptyCall": grpc.unary_unary_rpc_method_handler,
        "UnaryCall": grpc.unary_unary_rpc_method_handler,
        "StreamingInputCall": grpc.stream_unary_rpc_method_handler,
        "StreamingOutputCall": grpc.unary_stream_rpc_method_handler,
        "FullDuplexCall": grpc.stream_stream_rpc_method_handler,
    }

    def __init__(self, service):
        self.methods = {SERVICE + name: kind(getattr(service, name)) for name, kind in self.KINDS.items()}

    def service(self, call):
        return self.methods.get(call.method)


def serve():
    arrived = Arrived()
    server = grpc.server(futures.ThreadPoolExecutor(32), [Handler(Service(arrived))], options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("listening", Tap(("127.0.0.1", port), asked=arrived.note).port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve()
