"""A gRPC server and clients of it: grpcio, with bytes for messages.

`fruits.py serve [ADDRESS]` prints where it listens, and then a line for each call that it sees end; it ends with SIGTERM, when
the calls that it has begun have. `fruits.py CASE ADDRESS` makes the calls of a case there and prints what came of them, as one
JSON object.
"""

import itertools
import json
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

BIG = 1 << 20
LIMITS = [
    ("grpc.max_metadata_size", BIG),
    ("grpc.absolute_max_metadata_size", BIG),
    ("grpc.so_reuseport", 0),
]


def say(*words):
    """A line, whole: many threads say something."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Fruits:
    """The methods of /shop.Fruits/."""

    def echo(self, request, context):
        return request

    def order(self, request, context):
        """The same, and says so."""
        say("took", request.decode())
        return request

    def count(self, request, context):
        for n in range(int(request)):
            yield b"%d" % n

    def sum(self, requests, context):
        return b"%d" % sum(int(request) for request in requests)

    def chat(self, requests, context):
        for request in requests:
            yield b"re: " + request

    def wait(self, request, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        left = context.time_remaining()
        say("waits", "without a deadline" if left is None or left > 1e6 else f"{left:.1f}")
        yield b"waiting"
        say("ended" if ended.wait(20) else "was left alone")

    def metadata(self, request, context):
        """Answers with how much came, and with as much as it is told, as initial and as trailing metadata."""
        sent = dict(context.invocation_metadata()).get("x-big", "")
        initial, trailing = json.loads(request)
        context.send_initial_metadata([("x-big", "i" * initial)])
        context.set_trailing_metadata([("x-big", "t" * trailing)])
        return b"%d" % len(sent)

    def fail(self, request, context):
        """Ends with a status: in trailers alone, or after a message."""
        code, after_a_message = json.loads(request)
        if after_a_message:
            yield b"so far so good"
        context.set_trailing_metadata([("x-why-bin", bytes(range(256)))])
        code = next(known for known in grpc.StatusCode if known.value[0] == code)
        if code != grpc.StatusCode.OK:
            context.abort(code, "nø: 100 %\n" + code.name)

    def service(self, call):
        kind = {
            "echo": grpc.unary_unary_rpc_method_handler,
            "order": grpc.unary_unary_rpc_method_handler,
            "count": grpc.unary_stream_rpc_method_handler,
            "sum": grpc.stream_unary_rpc_method_handler,
            "chat": grpc.stream_stream_rpc_method_handler,
            "wait": grpc.unary_stream_rpc_method_handler,
            "metadata": grpc.unary_unary_rpc_method_handler,
            "fail": grpc.unary_stream_rpc_method_handler,
        }
        name = call.method.removeprefix("/shop.Fruits/")
        return kind[name](getattr(self, name)) if name in kind else None


class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        say("called", call.method)
        return Fruits().service(call)


def serve(address="127.0.0.1:0"):
    # Before there are other threads, which inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    server = grpc.server(futures.ThreadPoolExecutor(32), [Handler()], options=LIMITS)
    port = server.add_insecure_port(address)
    server.start()
    say("listening", port)
    signal.sigwait([signal.SIGTERM])
    server.stop(20).wait()


def pairs(metadata):
    """But for `date`, which whoever passes a response on adds where it is missing (RFC 9110 section 6.6.1)."""
    known = ((key, value) for key, value in metadata or () if key != "date")
    return {key: value if isinstance(value, str) else list(value) for key, value in known}


def status(call):
    return {
        "code": call.code().name,
        "details": call.details(),
        "trailing": pairs(call.trailing_metadata()),
    }


def ended(call, request, **more):
    """How a unary call ended."""
    try:
        message, call = call.with_call(request, **more)
        return {"message": message.decode(), "initial": pairs(call.initial_metadata()), **status(call)}
    except grpc.RpcError as error:
        return {"initial": pairs(error.initial_metadata()), **status(error)}


def drained(call):
    """How a call that streams ended, and what came before."""
    messages = []
    try:
        for message in call:
            messages.append(message.decode())
    except grpc.RpcError:
        pass
    return {"messages": messages, **status(call)}


class Cases:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(
            address, options=[*LIMITS, ("grpc.default_authority", "orders"), ("grpc.enable_retries", 0)]
        )
        self.unary = lambda name: self.channel.unary_unary(f"/shop.Fruits/{name}")
        self.streaming = lambda name: self.channel.unary_stream(f"/shop.Fruits/{name}")

    def kinds(self):
        chat, turns = [], futures.ThreadPoolExecutor(1)
        asked = threading.Semaphore(0)

        def asking():
            for n in range(20):
                asked.acquire()
                yield b"%d" % n

        call = self.channel.stream_stream("/shop.Fruits/chat")(asking(), timeout=20)
        for n in range(20):
            # The next is not written before the answer to this one is there.
            asked.release()
            chat.append(next(call).decode())
        asked.release()
        rest = drained(call)
        big = "x" * 3_000_000
        return {
            "unary": ended(self.unary("echo"), b"pears", timeout=20),
            "big": ended(self.unary("echo"), big.encode(), timeout=20)["message"] == big,
            "count": drained(self.streaming("count")(b"1000", timeout=20)),
            "sum": self.channel.stream_unary("/shop.Fruits/sum")((b"%d" % n for n in range(1000)), timeout=20).decode(),
            "chat": chat,
            "chat_end": rest["code"],
        }

    def deadline(self):
        before = time.monotonic()
        call = self.streaming("wait")(b"", timeout=1)
        return {**drained(call), "seconds": time.monotonic() - before}

    def cancel(self):
        call = self.streaming("wait")(b"")
        next(call)
        call.cancel()
        return drained(call)

    def metadata(self):
        def asked(sent, initial, trailing):
            metadata = [("x-big", "s" * sent)]
            request = json.dumps([initial, trailing]).encode()
            call = ended(self.unary("metadata"), request, metadata=metadata, timeout=20)
            for where in ("initial", "trailing"):
                call[where + "_length"] = len(call.pop(where).get("x-big", ""))
            return call

        much, too_much = 60 * 1024, 80 * 1024
        return {
            "sent": asked(much, 0, 0),
            "initial": asked(0, much, 0),
            "trailing": asked(0, 0, much),
            "too much sent": asked(too_much, 0, 0),
            "too much initial": asked(0, too_much, 0),
            "too much trailing": asked(0, 0, too_much),
            "afterwards": asked(much, much, much),
        }

    def statuses(self):
        def asked(code, after_a_message):
            request = json.dumps([code.value[0], after_a_message]).encode()
            return drained(self.streaming("fail")(request, timeout=20))

        return [[code.name, asked(code, False), asked(code, True)] for code in grpc.StatusCode]

    def denied(self):
        return [ended(self.unary("secret"), b"", timeout=20), drained(self.streaming("secret")(b"", timeout=20))]

    def away(self):
        return ended(self.unary("echo"), b"", timeout=20)

    def load(self):
        """Calls without a pause until SIGTERM: each order once, and streams of ten messages."""
        numbers, over, lock = itertools.count(), threading.Event(), threading.Lock()
        told = {"orders": [], "streams": 0, "failed": []}

        def order():
            number = str(next(numbers))
            self.unary("order")(number.encode(), timeout=20)
            with lock:
                told["orders"].append(number)

        def stream():
            answered = threading.Semaphore(1)

            def asking():
                for n in range(10):
                    answered.acquire()
                    yield b"%d" % n

            for n, message in enumerate(self.channel.stream_stream("/shop.Fruits/chat")(asking(), timeout=20)):
                assert message == b"re: %d" % n, message
                time.sleep(0.01)
                answered.release()
            with lock:
                told["streams"] += 1

        def calling(call):
            while not over.is_set():
                try:
                    call()
                except grpc.RpcError as error:
                    with lock:
                        told["failed"].append(f"{call.__name__}: {error.code().name} {error.details()}")
                time.sleep(0.01)

        with futures.ThreadPoolExecutor(6) as callers:
            for call in [order, order, order, order, stream, stream]:
                callers.submit(calling, call)
            say("calling")
            signal.sigwait([signal.SIGTERM])
            over.set()
        return told


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        if sys.argv[1] == "load":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        say(json.dumps(getattr(Cases(sys.argv[2]), sys.argv[1])()))
