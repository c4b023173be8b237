"""The cases of `frames.py`, in the groups of Autobahn's test suite, as tables of our own.

Names: group, what is sent. RFC 6455 and RFC 7692 say what must come; where they leave a choice, `codes` holds more than one.
"""

import random
import struct
import zlib

from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, SERVER_TAKES, TEXT, Case, Chop, Fin, Wait, fragments, frame

KINDS = {"text": TEXT, "binary": BINARY}
MIB = 1 << 20
PROTOCOL, INVALID, TOO_BIG = (1002,), (1007,), (1009,)


def filled(opcode, size):
    return b"*" * size if opcode == TEXT else (bytes(range(256)) * (size // 256 + 1))[:size]


def close(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def framing():
    for kind, opcode in KINDS.items():
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536):
            payload = filled(opcode, size)
            yield Case(f"{kind} of {size}", [frame(opcode, payload)], [(opcode, payload)])
        for size, at_a_time in ((0, 1), (125, 1), (126, 1), (128, 1), (4096, 64), (65535, 997), (65536, 997)):
            payload = filled(opcode, size)
            yield Case(f"{kind} of {size}, {at_a_time} at a time", [Chop(frame(opcode, payload), at_a_time)], [(opcode, payload)])
        for mask in (bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01"):
            yield Case(f"{kind} masked with {mask.hex()}", [frame(opcode, b"pears", mask=mask)], [(opcode, b"pears")])
        yield Case(f"{kind} without a mask", [frame(opcode, b"pears", mask=None)], codes=PROTOCOL)
    # The fewest bytes must be taken for a length; whoever reads need not insist.
    for size, form in ((5, 16), (5, 64), (300, 64)):
        payload = b"*" * size
        yield Case(f"length of {size} in {form} bits", [frame(TEXT, payload, form=form)], [(TEXT, payload)])
    yield Case("length with its highest bit", [b"\x82\xff" + b"\xff" * 8 + b"mask"], codes=(1002, 1009))


def pings():
    for name, payload in (("empty", b""), ("text", b"pears"), ("binary", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), ("125", b"\xfe" * 125)):
        yield Case(name, [frame(PING, payload)], pongs=[payload])
        yield Case(f"{name}, 1 at a time", [Chop(frame(PING, payload), 1)], pongs=[payload])
    yield Case("126", [frame(PING, b"\xfe" * 126)], codes=PROTOCOL)
    yield Case("126, 1 at a time", [Chop(frame(PING, b"\xfe" * 126), 1)], codes=PROTOCOL)
    yield Case("of two fragments", [frame(PING, b"pe", fin=False), frame(CONTINUATION, b"ars")], codes=PROTOCOL)
    yield Case("without a mask", [frame(PING, b"pears", mask=None)], codes=PROTOCOL)
    for name, payload in (("empty", b""), ("text", b"pears")):
        yield Case(f"unsolicited pong, {name}", [frame(PONG, payload)])
        yield Case(f"unsolicited pong, {name}, and a ping", [frame(PONG, payload), frame(PING, b"plums")], pongs=[b"plums"])
    yield Case("unsolicited pong of 126", [frame(PONG, b"\xfe" * 126)], codes=PROTOCOL)
    ten = [b"ping %d" % n for n in range(10)]
    yield Case("ten", [frame(PING, payload) for payload in ten], pongs=ten)
    yield Case("ten, 1 at a time", [Chop(frame(PING, payload), 1) for payload in ten], pongs=ten)
    yield Case("ten at once", [b"".join(frame(PING, payload) for payload in ten)], pongs=ten)


def reserved():
    hello = [frame(TEXT, b"pears"), Wait(data=1)]
    for rsv in range(1, 8):
        yield Case(f"{rsv} on a text", [frame(TEXT, b"pears", rsv=rsv)], codes=PROTOCOL)
        yield Case(f"{rsv} on an empty binary", [frame(BINARY, rsv=rsv)], codes=PROTOCOL)
        bad = frame(TEXT, b"plums", rsv=rsv) + frame(PING)
        yield Case(f"{rsv} after a text, before a ping", [*hello, bad], [(TEXT, b"pears")], codes=PROTOCOL)
    for rsv in (1, 2, 4):
        yield Case(f"{rsv} after a text, 1 at a time", [*hello, Chop(frame(TEXT, b"plums", rsv=rsv), 1)], [(TEXT, b"pears")], codes=PROTOCOL)
        yield Case(f"{rsv} on a ping", [frame(PING, b"pears", rsv=rsv)], codes=PROTOCOL)
        yield Case(f"{rsv} on a close", [frame(CLOSE, b"\x03\xe8", rsv=rsv)], codes=PROTOCOL)
        yield Case(f"{rsv} on a continuation", [frame(TEXT, b"pe", fin=False), frame(CONTINUATION, b"ars", rsv=rsv)], codes=PROTOCOL)


def opcodes():
    hello = [frame(TEXT, b"pears"), Wait(data=1)]
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"{opcode}", [frame(opcode)], codes=PROTOCOL)
        yield Case(f"{opcode} with a payload", [frame(opcode, b"pears")], codes=PROTOCOL)
        yield Case(f"{opcode} after a text, before a ping", [*hello, frame(opcode, b"plums") + frame(PING)], [(TEXT, b"pears")], codes=PROTOCOL)
        yield Case(f"{opcode} within a message", [frame(TEXT, b"pe", fin=False), frame(opcode)], codes=PROTOCOL)


def fragmentation():
    one_two = (TEXT, b"fragment1fragment2")
    first, second = frame(TEXT, b"fragment1", fin=False), frame(CONTINUATION, b"fragment2")
    ping = frame(PING, b"ping")
    yield Case("two", [first, second], [one_two])
    yield Case("two at once", [first + second], [one_two])
    yield Case("two, 1 at a time", [Chop(first + second, 1)], [one_two])
    yield Case("a ping between", [first, ping, second], [one_two], [b"ping"])
    yield Case("a ping between, all at once", [first + ping + second], [one_two], [b"ping"])
    yield Case("a ping between, 1 at a time", [Chop(first + ping + second, 1)], [one_two], [b"ping"])
    yield Case("a ping between, answered before the rest", [first, ping, Wait(pongs=1), second], [one_two], [b"ping"])
    yield Case("a pong between", [first, frame(PONG, b"pong"), second], [one_two])
    middle = frame(CONTINUATION, b"", fin=False)
    yield Case("empty ones", [frame(TEXT, b"", fin=False), middle, frame(CONTINUATION)], [(TEXT, b"")])
    yield Case("an empty one between", [first, middle, second], [one_two])
    yield Case("an empty one at the end", [first, frame(CONTINUATION)], [(TEXT, b"fragment1")])
    five = [b"fragment%d" % n for n in range(1, 6)]
    between = [act for each in fragments(TEXT, five) for act in (each, ping)][:-1]
    yield Case("five, and pings between", between, [(TEXT, b"".join(five))], [b"ping"] * 4)
    yield Case("five, and pings between, all at once", [b"".join(between)], [(TEXT, b"".join(five))], [b"ping"] * 4)
    yield Case("of one octet", fragments(BINARY, [bytes([n]) for n in range(100)]), [(BINARY, bytes(range(100)))])
    for name, last in (("", True), (" that goes on", False)):
        lonely = frame(CONTINUATION, b"nothing before", fin=last)
        yield Case(f"continuation of nothing{name}", [lonely], codes=PROTOCOL)
        yield Case(f"continuation of nothing{name}, 1 at a time", [Chop(lonely, 1)], codes=PROTOCOL)
        yield Case(f"continuation of nothing{name}, before a text", [lonely, frame(TEXT, b"pears")], codes=PROTOCOL)
        whole = [frame(TEXT, b"pears"), Wait(data=1)]
        yield Case(f"continuation of a whole text{name}", [*whole, lonely], [(TEXT, b"pears")], codes=PROTOCOL)
        done = [first, second, Wait(data=1)]
        yield Case(f"continuation of a message that ended{name}", [*done, lonely], [one_two], codes=PROTOCOL)
    for kind, opcode in KINDS.items():
        yield Case(f"a {kind} within a message", [first, frame(opcode, b"fragment2")], codes=PROTOCOL)
        yield Case(f"a {kind} begins within a message", [first, frame(opcode, b"fragment2", fin=False)], codes=PROTOCOL)


VALID = {
    "sentence": "hello-µ@ßöäüàá-UTF-8!!",
    "greek": "κόσμε",
    **{f"U+{n:04X}": chr(n) for n in (0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF)},
    **{f"U+{n:04X}": chr(n) for n in (0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0x1FFFE, 0x1FFFF, 0x2FFFF, 0x8FFFE, 0xFFFFF)},
}

BROKEN = {
    "surrogate within": "cebae1bdb9cf83cebcceb5eda080656469746564",
    "beyond U+10FFFF within": "cebae1bdb9cf83cebcceb5f4908080656469746564",
    "five octets": "f888808080",
    "six octets": "fc8480808080",
    "largest of four": "f7bfbfbf",
    "largest of five": "fbbfbfbfbf",
    "largest of six": "fdbfbfbfbfbf",
    "U+110000": "f4908080",
    "first continuation alone": "80",
    "last continuation alone": "bf",
    "two continuations": "80bf",
    "all continuations": bytes(range(0x80, 0xC0)).hex(),
    "starts of two, lonely": "".join(f"{n:02x}20" for n in range(0xC0, 0xE0)),
    "starts of three, lonely": "".join(f"{n:02x}20" for n in range(0xE0, 0xF0)),
    "starts of four, lonely": "".join(f"{n:02x}20" for n in range(0xF0, 0xF8)),
    "starts of five, lonely": "f820f920fa20fb20",
    "starts of six, lonely": "fc20fd20",
    "last of two missing": "df",
    "last of three missing": "efbf",
    "last of four missing": "f48fbf",
    "last of three missing, and more": "efbf20",
    "incomplete ones in a row": "dfefbff48fbf",
    "fe": "fe",
    "ff": "ff",
    "fe and ff": "fefeffff",
    "slash in two": "c0af",
    "slash in three": "e080af",
    "slash in four": "f08080af",
    "slash in five": "f8808080af",
    "slash in six": "fc80808080af",
    "largest that is too long, in two": "c1bf",
    "largest that is too long, in three": "e09fbf",
    "largest that is too long, in four": "f08fbfbf",
    "NUL in two": "c080",
    "NUL in three": "e08080",
    "NUL in four": "f0808080",
    "first high surrogate": "eda080",
    "last high surrogate": "edafbf",
    "first low surrogate": "edb080",
    "last low surrogate": "edbfbf",
    "pair of surrogates": "eda080edb080",
    "pair of surrogates, the last": "edafbfedbfbf",
}


def octets(text):
    """Each in a fragment of its own."""
    return fragments(TEXT, [bytes([octet]) for octet in text])


def utf8():
    for name, text in VALID.items():
        text = text.encode()
        yield Case(f"{name}", [frame(TEXT, text)], [(TEXT, text)])
        yield Case(f"{name}, in fragments of an octet", octets(text), [(TEXT, text)])
    for name, text in BROKEN.items():
        text = bytes.fromhex(text)
        yield Case(f"not: {name}", [frame(TEXT, text)], codes=INVALID)
        yield Case(f"not: {name}, in fragments of an octet", octets(text), codes=INVALID)
        yield Case(f"not: {name}, but binary", [frame(BINARY, text)], [(BINARY, text)])
    greek = "κόσμε".encode()
    # Whoever fails fast does so before the end of the message. The pong shows that what came before it was seen.
    for name, bad in (("surrogate", b"\xed\xa0\x80"), ("beyond U+10FFFF", b"\xf4\x90\x80\x80"), ("fe", b"\xfe")):
        begun = [frame(TEXT, greek + bad, fin=False), frame(PING, b"seen"), Wait(pongs=1)]
        yield Case(f"not: {name}, and the message goes on", begun, pongs=[b"seen"], codes=(1000, 1002, *INVALID))
        ended = [*begun, frame(CONTINUATION, b"edited")]
        yield Case(f"not: {name}, and the message ends later", ended, pongs=[b"seen"], codes=INVALID)
        parts = [frame(TEXT, greek + bad)[:-2], frame(TEXT, greek + bad)[-2:]]
        yield Case(f"not: {name}, in two writes", parts, codes=INVALID)


def closes():
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        yield Case(f"{code}", [close(code)], codes=(code,), over=True)
        yield Case(f"{code} with a reason", [close(code, "enøugh".encode())], codes=(code,), over=True)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield Case(f"not: {code}", [close(code)], codes=PROTOCOL, over=True)
        yield Case(f"not: {code} with a reason", [close(code, b"why")], codes=PROTOCOL, over=True)
    yield Case("without a code", [frame(CLOSE)], codes=(1005, 1000), over=True)
    yield Case("half a code", [frame(CLOSE, b"\x03")], codes=PROTOCOL, over=True)
    yield Case("a reason of 123", [close(1000, b"*" * 123)], over=True)
    yield Case("a reason of 124", [close(1000, b"*" * 124)], codes=PROTOCOL, over=True)
    yield Case("a reason that is no UTF-8", [close(1000, bytes.fromhex("cebaeda080"))], codes=(1002, 1007), over=True)
    yield Case("in two fragments", [frame(CLOSE, b"\x03", fin=False), frame(CONTINUATION, b"\xe8")], codes=PROTOCOL, over=True)
    yield Case("1 at a time", [Chop(close(1000, b"bye"), 1)], over=True)
    yield Case("after a text", [frame(TEXT, b"pears"), Wait(data=1), close(1000)], [(TEXT, b"pears")], over=True)
    yield Case("within a message", [frame(TEXT, b"pe", fin=False), close(1000)], codes=(1000, 1002), over=True)
    yield Case("and once more", [close(1000) + close(1000)], over=True)
    yield Case("and a ping", [close(1000) + frame(PING)], over=True)
    yield Case("and a text", [close(1000) + frame(TEXT, b"pears")], over=True)
    yield Case("and what is no frame", [close(1000) + b"\xff" * 20], over=True)
    yield Case("and a FIN", [close(1000), Fin()], over=True)
    yield Case("after a ping, and a FIN", [frame(PING, b"ping") + close(4000), Fin()], pongs=[b"ping"], codes=(4000,), over=True)
    # Without a word: there is none to answer.
    yield Case("only a FIN", [Fin()], codes=(None, 1006, 1000), over=True)
    yield Case("a FIN after a text", [frame(TEXT, b"pears"), Wait(data=1), Fin()], [(TEXT, b"pears")], codes=(None,), over=True)
    yield Case("a FIN within a message", [frame(TEXT, b"pe", fin=False), Fin()], codes=(None,), over=True)
    yield Case("a FIN within a frame", [frame(TEXT, b"pears")[:-2], Fin()], codes=(None,), over=True)
    yield Case("a FIN within the head of a frame", [frame(TEXT, b"*" * 300)[:3], Fin()], codes=(None,), over=True)


def limits():
    for kind, opcode in KINDS.items():
        for size in (MIB // 4, MIB, 4 * MIB, 16 * MIB):
            payload = filled(opcode, size)
            yield Case(f"{kind} of {size}", [frame(opcode, payload)], [(opcode, payload)])
        for size, part in ((MIB // 4, 64), (MIB, 256), (MIB, 1024), (MIB, 4096), (MIB, 65536), (16 * MIB, 65536), (16 * MIB, MIB)):
            payload = filled(opcode, size)
            parts = fragments(opcode, [payload[at : at + part] for at in range(0, size, part)])
            yield Case(f"{kind} of {size} in fragments of {part}", [b"".join(parts)], [(opcode, payload)])
        for size, at_a_time in ((MIB // 4, 64), (MIB, 1000), (MIB, 1460), (MIB, 16384)):
            payload = filled(opcode, size)
            yield Case(f"{kind} of {size}, {at_a_time} at a time", [Chop(frame(opcode, payload), at_a_time)], [(opcode, payload)])
        for size in (0, 16, 125, 1024, 4096):
            payload = filled(opcode, size)
            sent = [frame(opcode, payload) for _ in range(1000)]
            yield Case(f"1000 {kind}s of {size}", sent, [(opcode, payload)] * 1000)
            yield Case(f"1000 {kind}s of {size} at once", [b"".join(sent)], [(opcode, payload)] * 1000)
        turns = [act for n in range(200) for act in (frame(opcode, b"%d" % n), Wait(data=n + 1))]
        yield Case(f"200 {kind}s, each when the one before came back", turns, [(opcode, b"%d" % n) for n in range(200)])
    yield Case("a frame that says it is too big", [b"\x82\xff" + struct.pack(">Q", SERVER_TAKES + 1) + b"mask"], codes=TOO_BIG)
    big = fragments(BINARY, [bytes(MIB)] * (SERVER_TAKES // MIB + 1))
    yield Case("fragments that are too big together", big, codes=TOO_BIG)


def deflated(opcode, messages, afresh=False, wbits=-9, level=6):
    """Messages compressed one after the other (RFC 7692 section 7.2.1)."""
    make = lambda: zlib.compressobj(level, zlib.DEFLATED, wbits)
    compress = make()
    for message in messages:
        compress = make() if afresh else compress
        payload = (compress.compress(message) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]
        yield frame(opcode, payload, rsv=4)


OFFERS = {
    "plain": "permessage-deflate",
    "client bits": "permessage-deflate; client_max_window_bits",
    "client afresh": "permessage-deflate; client_no_context_takeover",
    "server afresh": "permessage-deflate; server_no_context_takeover; client_max_window_bits",
    "both afresh": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "server bits 9": "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
    "server bits 15": "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
    "second choice": "x-unknown; a=1, permessage-deflate",
}


def deflate():
    plain = {"offer": OFFERS["plain"], "agreed": True}
    noise = random.Random(1)
    for name, offer in OFFERS.items():
        for size in (16, 256, 1024, 8192, 131072):
            messages = [(b"many apples %d " % n * (size // 10 + 1))[:size] for n in range(10)]
            sent = list(deflated(TEXT, messages, afresh="client_no" in offer))
            yield Case(f"{name}, 10 of {size}", sent, [(TEXT, each) for each in messages], offer=offer, agreed=True)
        messages = [noise.randbytes(size) for size in (16, 1024, 65536)]
        sent = list(deflated(BINARY, messages, afresh="client_no" in offer))
        yield Case(f"{name}, noise", sent, [(BINARY, each) for each in messages], offer=offer, agreed=True)
    (whole,) = deflated(TEXT, [b"many apples " * 1000], level=0)
    yield Case("stored", [whole], [(TEXT, b"many apples " * 1000)], **plain)
    (whole,) = deflated(TEXT, [b"many apples " * 100_000])
    yield Case("much from little", [whole], [(TEXT, b"many apples " * 100_000)], **plain)
    (whole,) = deflated(BINARY, [bytes(SERVER_TAKES + MIB)])
    yield Case("too much from little", [whole], codes=TOO_BIG, **plain)
    yield Case("not compressed", [frame(TEXT, b"pears")], [(TEXT, b"pears")], **plain)
    yield Case("an empty one", [frame(TEXT, b"\x00", rsv=4)], [(TEXT, b"")], **plain)
    compress = zlib.compressobj(6, zlib.DEFLATED, -9)
    payload = (compress.compress(b"many apples " * 50) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]
    first, second = frame(TEXT, payload[:10], rsv=4, fin=False), frame(CONTINUATION, payload[10:])
    yield Case("in fragments", [first, second], [(TEXT, b"many apples " * 50)], **plain)
    yield Case("in fragments, a ping between", [first, frame(PING, b"ping"), second], [(TEXT, b"many apples " * 50)], [b"ping"], **plain)
    yield Case("RSV1 on a continuation", [first, frame(CONTINUATION, payload[10:], rsv=4)], codes=PROTOCOL, **plain)
    yield Case("RSV1 on a ping", [frame(PING, b"ping", rsv=4)], codes=PROTOCOL, **plain)
    yield Case("RSV2 too", [frame(TEXT, payload, rsv=6)], codes=PROTOCOL, **plain)
    yield Case("what is not compressed, but says so", [frame(TEXT, b"\xff" * 20, rsv=4)], codes=(1002, 1007), **plain)
    (bad,) = deflated(TEXT, [b"\xce\xba\xed\xa0\x80"])
    yield Case("no UTF-8", [bad], codes=INVALID, **plain)
    for offer in ("permessage-deflate; unknown=1", "permessage-deflate; server_max_window_bits=99", "x-unknown"):
        yield Case(f"not agreed: {offer}", [frame(TEXT, b"pears")], [(TEXT, b"pears")], offer=offer)
        yield Case(f"not agreed, but sent: {offer}", [frame(TEXT, payload, rsv=4)], codes=PROTOCOL, offer=offer)


def every():
    groups = (framing, pings, reserved, opcodes, fragmentation, utf8, closes, limits, deflate)
    named = ((group.__name__, case) for group in groups for case in group())
    for number, (group, case) in enumerate(named):
        case.name, case.number = f"{group}: {case.name}", number
        yield case
