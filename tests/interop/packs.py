"""Changes as automerge's bytes, and packs of them as docs/pack-format.md describes them."""

import zlib
from hashlib import sha256


class Reader:
    """LEB128 and bytes, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data): raise ValueError("ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def unsigned(self):
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128: return n

    def signed(self):
        start = self.at
        n = self.unsigned()
        bits = 7 * (self.at - start)
        return n - (1 << bits) if n >> bits - 1 else n

    def prefixed(self):
        return self.take(self.unsigned())

    def rest(self):
        return self.take(len(self.data) - self.at)


def unsigned(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def signed(n):
    out = bytearray()
    while not -64 <= n < 64:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n & 127]))


def prefixed(data):
    return unsigned(len(data)) + data


class Change:
    """A change chunk: magic, checksum, type 1, length, body. Its hash is that of everything from the type on."""

    def __init__(self, data):
        self.bytes = data
        self.hash = sha256(data[8:]).digest()
        body = Reader(data[9:])
        assert data[:4] == b"\x85\x6f\x4a\x83" and data[4:8] == self.hash[:4] and data[8] == 1, "a change chunk"
        body = Reader(body.prefixed())
        self.deps = [body.take(32) for _ in range(body.unsigned())]
        self.actor, self.seq = body.prefixed(), body.unsigned()


# Layouts that every pack starts with: specification and content of each column.
LAYOUTS = """
-
1 7f 00, 2 7f 01, 17 7f 00, 19 7f 7f, 52 00 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 00
1 7f 00, 2 7f 01, 19 7f 00, 52 00 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 00
1 7f 00, 2 7f 01, 17 7f 00, 19 7f 7f, 52 01, 66 7f 03, 86 7f 00, 112 7f 01, 113 7f 00, 115 7f 00
21 7f 01 6b, 52 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 00
21 7f 01 6b, 52 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 01, 113 7f 00, 115 7f 7f
21 7f 01 6b, 52 01, 66 7f 03, 86 7f 00, 112 7f 01, 113 7f 00, 115 7f 7f
21 7f 01 6b, 52 01, 66 7f 00, 86 7f 00, 112 7f 00
1 7f 00, 2 7f 01, 21 7f 01 6b, 52 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 00
1 7f 00, 2 7f 01, 21 7f 01 6b, 52 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 01, 113 7f 00, 115 7f 7f
1 7f 00, 2 7f 01, 21 7f 01 6b, 52 01, 66 7f 03, 86 7f 00, 112 7f 01, 113 7f 00, 115 7f 7f
1 7f 00, 2 7f 01, 21 7f 01 6b, 52 01, 66 7f 01, 86 7f 02, 112 7f 00
1 7f 00, 2 7f 01, 17 7f 00, 19 7f 7f, 52 01, 66 7f 01, 86 7f 16, 87 20, 112 7f 01, 113 7f 00, 115 7f 00
1 7f 00, 2 7f 01, 17 7f 00, 19 7f 7f, 52 00 01, 66 7f 00, 86 7f 00, 112 7f 00
1 7f 00, 2 7f 01, 19 7f 00, 52 00 01, 66 7f 00, 86 7f 00, 112 7f 00
1 02 00, 2 02 01, 17 02 00, 19 7e 7f 01, 52 00 02, 66 02 07, 86 7e 02 00, 112 02 00, 148 01 01, 165 7f 04 62 6f 6c 64 00 01
"""


def usual_layouts():
    columns = lambda line: [] if line == "-" else [c.split(" ", 1) for c in line.split(", ")]
    return [[(int(spec), bytes.fromhex(content)) for spec, content in columns(line)] for line in LAYOUTS.split("\n")[1:-1]]


def pack(changes):
    """The simplest pack: base 0, every change whole."""
    actors = list(dict.fromkeys(c.actor for c in changes))
    out = b"\x01" + unsigned(len(changes)) + b"\0" + unsigned(len(actors)) + b"".join(map(prefixed, actors))
    out += sha256(b"".join(c.hash for c in changes)).digest()[:8] + b"\x83" * len(changes)
    out += b"".join(unsigned(actors.index(c.actor)) for c in changes) + b"".join(unsigned(c.seq) for c in changes)
    return out + b"".join(prefixed(c.bytes) for c in changes)


def unpack(data, known_actors, places):
    """The changes of a pack. `places` gives the hash of a held change by actor and seq."""
    r = Reader(data)
    first, count, base = r.take(1)[0], r.unsigned(), r.unsigned()
    assert first & 127 == 1 and base <= len(known_actors), "a version that the page describes, and a base that is known"
    actors = known_actors[:base] + [r.prefixed() for _ in range(r.unsigned())]
    digest, body = r.take(8), r.rest()
    plans, layouts = read_body(Reader(zlib.decompress(body, -15) if first & 128 else body), count)
    changes, last, author, start, time = [], {}, 0, 0, 0
    for p in plans:
        author = p.get("author", author)
        own = last.setdefault(author, {"seq": 0, "others": []})
        actor, seq = actors[author], p.get("seq", own["seq"] + 1)
        if "whole" in p:
            change = Change(p["whole"])
            assert (change.actor, change.seq) == (actor, seq)
        else:
            start, time = start + p["start"], time + p["time"]
            kind = p["flags"] & 0x0c
            if kind == 0x00: deps = [changes[-1].hash]
            elif kind == 0x04: deps = [own["hash"] if own["seq"] == seq - 1 > 0 else places[actor, seq - 1]]
            elif kind == 0x0c: deps = []
            else: deps = sorted(changes[-n].hash if at is None else places[actors[n], at] for n, at in p["deps"])
            own["others"] = p.get("others", own["others"])
            columns = [(spec, p.get(j, content)) for j, (spec, content) in enumerate(layouts[p["layout"]])]
            layouts[p["layout"]], columns = columns, absolute(dict(columns), start)
            body = (unsigned(len(deps)) + b"".join(deps) + prefixed(actor) + unsigned(seq) + unsigned(start) + signed(time)
                    + prefixed(p.get("message", b"")) + unsigned(len(own["others"]))
                    + b"".join(prefixed(actors[n]) for n in own["others"]) + unsigned(len(columns))
                    + b"".join(unsigned(spec) + unsigned(len(c)) for spec, c in columns.items())
                    + b"".join(columns.values()) + p.get("extra", b""))
            chunk = b"\x01" + prefixed(body)
            change = Change(b"\x85\x6f\x4a\x83" + sha256(chunk).digest()[:4] + chunk)
        own["seq"], own["hash"] = seq, change.hash
        changes.append(change)
    assert sha256(b"".join(c.hash for c in changes)).digest()[:8] == digest, "both sides hold the same"
    return changes


def read_body(r, count):
    """The streams, one after the other: what each says about each change."""
    plans = [{"flags": f} for f in r.take(count)]
    having = lambda mask, want=None: (p for p in plans if p["flags"] & mask == (mask if want is None else want))
    for p in having(0x01): p["author"] = r.unsigned()
    for p in having(0x02): p["seq"] = r.unsigned()
    for p in having(0x0c, 0x08):
        words = (r.unsigned() for _ in range(r.unsigned()))
        p["deps"] = [(w >> 1, None if w & 1 else r.unsigned()) for w in words]
    for p in having(0x80, 0): p["start"] = r.signed()
    for p in having(0x80, 0): p["time"] = r.signed()
    for p in having(0x40): p["others"] = [r.unsigned() for _ in range(r.unsigned())]
    layouts = usual_layouts()
    for p in having(0x80, 0):
        p["layout"] = r.unsigned()
        if p["layout"] == len(layouts):
            layouts.append([(r.unsigned(), b"") for _ in range(r.unsigned())])
    for p in having(0x80, 0): p["mask"] = r.unsigned()
    written = []
    for i, p in enumerate(plans):
        columns = (j for j in range(32) if p.get("mask", 0) >> j & 1)
        written += [(p["layout"], j, i, r.unsigned()) for j in columns]
    for _, column, i, length in sorted(written): plans[i][column] = r.take(length)
    for p in having(0x10): p["message"] = r.prefixed()
    for p in having(0x20): p["extra"] = r.prefixed()
    for p in having(0x80): p["whole"] = r.prefixed()
    assert r.rest() == b"", "nothing is left over"
    return plans, layouts


def absolute(columns, start):
    """Counters that are written relative to others as they are in the change."""
    origin = start
    if 17 in columns and 19 in columns:
        columns[19], shifted = shift(columns[19], start)
        origin = start if shifted is None else shifted
    if 115 in columns:
        columns[115], _ = shift(columns[115], origin)
    return columns


def shift(column, by):
    """The column with `by` added to its first number, and the sum."""
    r = Reader(column)
    while r.at < len(column):
        if r.signed() == 0:
            r.unsigned()
            continue
        before, number = column[:r.at], r.signed() + by
        return before + signed(number) + r.rest(), number
    return column, None
