"""gRPC's interop cases, as its "interop test descriptions" list them, played by grpcio at `interop.py`.

`interop_cases.py ADDRESS` plays all and prints one JSON object: by the name of the case what came of it, and what of that is not
as the list says (`must`).
"""

import json
import random
import sys
import threading
from concurrent import futures

import grpc
from interop import GZIP, INITIAL, OPTIONS, SERVICE, TRAILING, Tap, body, field, one, payload

WHITESPACE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
TURNS = [(31415, 27182), (9, 8), (2653, 1828), (58979, 45904)]


PATIENCE = 60

EXCLUDED = {
    "cacheable_unary": "asks with GET, and for a proxy that caches: gRPC has no cacheable calls, and a sidecar no cache",
    "compute_engine_creds": "asks for a cloud",
    "jwt_token_creds": "asks for a cloud",
    "oauth2_auth_token": "asks for a cloud",
    "per_rpc_creds": "asks for a cloud",
    "google_default_credentials": "asks for a cloud",
    "orca_per_rpc": "a load report in a trailer of its own: metadata as in custom_metadata",
    "orca_oob": "a load report in a stream of its own: as in server_streaming",
}


def truth(value):
    """A BoolValue."""
    return field(1, int(value))


def asking(size=None, sent=None, response_compressed=None, expect_compressed=None, status=None):
    """A SimpleRequest."""
    message = field(2, size or 0)
    message += b"" if sent is None else field(3, field(2, bytes(sent)))
    message += b"" if response_compressed is None else field(6, truth(response_compressed))
    message += b"" if status is None else field(7, field(1, status[0]) + field(2, status[1].encode()))
    return message + (b"" if expect_compressed is None else field(8, truth(expect_compressed)))


def streamed(body, expect_compressed=None):
    """A StreamingInputCallRequest."""
    return payload(body) + (b"" if expect_compressed is None else field(2, truth(expect_compressed)))


def wanting(*sizes, compressed=None, sent=None, status=None):
    """A StreamingOutputCallRequest."""
    message = b""
    for at, size in enumerate(sizes):
        message += field(2, field(1, size) + (b"" if compressed is None else field(3, truth(compressed[at]))))
    message += b"" if sent is None else field(3, field(2, bytes(sent)))
    return message + (b"" if status is None else field(7, field(1, status[0]) + field(2, status[1].encode())))


LARGE = asking(314159, sent=271828)


class Wrong(Exception):
    """What the list does not allow."""


def must(what, came, wanted):
    if came != wanted:
        raise Wrong(f"{what}: {came!r} instead of {wanted!r}")


def pairs(metadata):
    """But for `date`, which whoever passes a response on adds where it is missing (RFC 9110 section 6.6.1)."""
    known = ((key, value) for key, value in metadata or () if key != "date")
    return {key: value if isinstance(value, str) else value.hex() for key, value in known}


def status(call):
    return {"code": call.code().name, "details": call.details(), "trailing": pairs(call.trailing_metadata())}


def drained(call):
    """How a call that streams ended, and the sizes of what came before."""
    came = []
    try:
        came.extend(body(message) for message in call)
    except grpc.RpcError:
        pass
    return {"came": came, "initial": pairs(call.initial_metadata()), **status(call)}


class Client:
    def __init__(self, address):
        self.address = address
        self.channel = self.open()

    def open(self, address=None):
        return grpc.insecure_channel(address or self.address, options=OPTIONS)

    def unary(self, message, method="UnaryCall", channel=None, path=None, **more):
        call = (channel or self.channel).unary_unary(path or SERVICE + method)
        try:
            message, call = call.with_call(message, timeout=PATIENCE, **more)
            return {"came": body(message), "bytes": len(message), "initial": pairs(call.initial_metadata()), **status(call)}
        except grpc.RpcError as error:
            return {"initial": pairs(error.initial_metadata()), **status(error)}

    def inputs(self, messages, channel=None, **more):
        """A StreamingInputCall."""
        call = (channel or self.channel).stream_unary(SERVICE + "StreamingInputCall")
        try:
            message, call = call.with_call(iter(messages), timeout=PATIENCE, **more)
            return {"sum": one(message, 1), **status(call)}
        except grpc.RpcError as error:
            return status(error)

    def duplex(self, messages, **more):
        call = self.channel.stream_stream(SERVICE + "FullDuplexCall")
        return call(iter(messages), **{"timeout": PATIENCE, **more})

    def tapped(self):
        """A channel of its own, and whether each message on it was compressed, as sent and as received."""
        host, port = self.address.rsplit(":", 1)
        sent, received = [], []
        tap = Tap((host, int(port)), lambda flag, _: sent.append(flag), lambda flag, _: received.append(flag))
        return self.open(f"127.0.0.1:{tap.port}"), sent, received

    def outputs(self, message, channel=None):
        """A StreamingOutputCall."""
        return drained((channel or self.channel).unary_stream(SERVICE + "StreamingOutputCall")(message, timeout=PATIENCE))

    def held_open(self, message, **more):
        """A call that has sent this and has not ended its half; and what lets it."""
        over = threading.Event()

        def messages():
            yield message
            over.wait(PATIENCE)

        return self.duplex(messages(), **more), over.set

    def ends(self, wanted):
        """Both kinds of calls end as they are told to."""
        came = [self.unary(asking(status=wanted)), drained(self.duplex([wanting(status=wanted)]))]
        for call in came:
            must("end", [call["code"], call["details"]], ["UNKNOWN", wanted[1]])
        return came


class Cases(Client):
    def empty_unary(self):
        came = self.unary(b"", "EmptyCall")
        must("code", came["code"], "OK")
        must("bytes", came["bytes"], 0)
        return came

    def large_unary(self, channel=None):
        came = self.unary(LARGE, channel=channel)
        must("code", came["code"], "OK")
        must("body", came["came"], [314159, True])
        return came

    def client_compressed_unary(self):
        channel, sent, _ = self.tapped()
        came = [
            self.unary(asking(314159, 271828, expect_compressed=expected), channel=channel, compression=compression)
            for expected, compression in [(True, None), (True, GZIP), (False, None)]
        ]
        must("codes", [call["code"] for call in came], ["INVALID_ARGUMENT", "OK", "OK"])
        must("bodies", [call["came"] for call in came[1:]], [[314159, True]] * 2)
        must("compressed", sent, [False, True, False])
        return came

    def server_compressed_unary(self):
        channel, _, received = self.tapped()
        came = [self.unary(asking(314159, 271828, response_compressed=wanted), channel=channel) for wanted in (True, False)]
        must("codes", [call["code"] for call in came], ["OK", "OK"])
        must("bodies", [call["came"] for call in came], [[314159, True]] * 2)
        must("compressed", received, [True, False])
        return came

    def client_streaming(self):
        came = self.inputs(streamed(size) for size in (27182, 8, 1828, 45904))
        must("end", [came["code"], came.get("sum")], ["OK", 74922])
        return came

    def client_compressed_streaming(self):
        channel, sent, _ = self.tapped()
        probe = self.inputs([streamed(27182, expect_compressed=True)], channel=channel)
        must("probe", probe["code"], "INVALID_ARGUMENT")
        # grpcio cannot be told to leave one message alone; what does not become smaller it does leave.
        noise = random.Random(1).randbytes(45904)
        messages = [streamed(27182, expect_compressed=True), streamed(noise, expect_compressed=False)]
        came = self.inputs(messages, channel=channel, compression=GZIP)
        must("end", [came["code"], came.get("sum")], ["OK", 73086])
        must("compressed", sent, [False, True, False])
        return [probe, came]

    def server_streaming(self):
        came = self.outputs(wanting(31415, 9, 2653, 58979))
        must("code", came["code"], "OK")
        must("bodies", came["came"], [[31415, True], [9, True], [2653, True], [58979, True]])
        return came

    def server_compressed_streaming(self):
        channel, _, received = self.tapped()
        came = self.outputs(wanting(31415, 92653, compressed=[True, False]), channel)
        must("code", came["code"], "OK")
        must("bodies", came["came"], [[31415, True], [92653, True]])
        must("compressed", received, [True, False])
        return came

    def ping_pong(self):
        answered = threading.Semaphore(1)

        def turns():
            for wanted, sent in TURNS:
                answered.acquire()
                yield wanting(wanted, sent=sent)
            answered.acquire()

        call, came = self.duplex(turns()), []
        for _ in TURNS:
            came.append(body(next(call)))
            answered.release()
        rest = drained(call)
        must("bodies", came, [[wanted, True] for wanted, _ in TURNS])
        must("end", [rest["code"], rest["came"]], ["OK", []])
        return [came, rest]

    def empty_stream(self):
        came = drained(self.duplex([]))
        must("end", [came["code"], came["came"]], ["OK", []])
        return came

    def custom_metadata(self):
        metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]
        unary = self.unary(LARGE, metadata=metadata)
        duplex = drained(self.duplex([wanting(314159, sent=271828)], metadata=metadata))
        must("codes", [unary["code"], duplex["code"]], ["OK", "OK"])
        for call in (unary, duplex):
            must("initial", call["initial"].get(INITIAL), "test_initial_metadata_value")
            must("trailing", call["trailing"].get(TRAILING), "ababab")
        return [unary, duplex]

    def status_code_and_message(self):
        return self.ends((2, "test status message"))

    def special_status_message(self):
        return self.ends((2, WHITESPACE))

    def unimplemented_method(self):
        came = self.unary(b"", "UnimplementedCall")
        must("code", came["code"], "UNIMPLEMENTED")
        return came

    def unimplemented_service(self):
        came = self.unary(b"", path="/grpc.testing.UnimplementedService/UnimplementedCall")
        must("code", came["code"], "UNIMPLEMENTED")
        return came

    def cancel_after_begin(self):
        over = threading.Event()
        # Nothing is sent: the iterator waits for the end of the call.
        call = self.channel.stream_unary(SERVICE + "StreamingInputCall").future(iter(over.wait, True), timeout=PATIENCE)
        call.cancel()
        over.set()
        must("code", call.code().name, "CANCELLED")
        return status(call)

    def cancel_after_first_response(self):
        call, over = self.held_open(wanting(31415, sent=27182))
        first = body(next(call))
        call.cancel()
        over()
        must("first", first, [31415, True])
        must("code", call.code().name, "CANCELLED")
        return [first, status(call)]

    def timeout_on_sleeping_server(self):
        call, over = self.held_open(wanting(sent=27182), timeout=0.001)
        code = drained(call)["code"]
        over()
        must("code", code, "DEADLINE_EXCEEDED")
        return code

    def rpc_soak(self):
        """In short: calls one after the other on one channel."""
        return [self.large_unary() for _ in range(30)]

    def channel_soak(self):
        """In short: each call on a channel of its own."""
        came = []
        for n in range(10):
            # Channels to one address with the same options share their connections; these differ.
            with grpc.insecure_channel(self.address, options=[*OPTIONS, ("interop.nth", n)]) as channel:
                came.append(self.large_unary(channel))
        return came

    def concurrent_large_unary(self):
        with futures.ThreadPoolExecutor(50) as callers:
            return list(callers.map(lambda _: self.large_unary(), range(200)))


def played(name, address):
    cases = Cases(address)
    try:
        return {"came": getattr(cases, name)(), "wrong": None}
    except Exception as wrong:
        return {"came": None, "wrong": f"{type(wrong).__name__}: {wrong}"}
    finally:
        cases.channel.close()


if __name__ == "__main__":
    names = [name for name in vars(Cases) if not name.startswith("_")]
    told = {name: played(name, sys.argv[1]) for name in names}
    print(json.dumps({"cases": told, "excluded": EXCLUDED}))
