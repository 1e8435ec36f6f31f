"""A client of rejoin.v1 in another language, written from docs/protocol.md, docs/pack-format.md and tests/golden alone.

It holds changes as bytes and never looks into a document: opening, pushing, resuming and reconciling need no more.
`client.py HOST:PORT` plays through all of them against an empty server and exits with 1 at the first surprise.
"""

import json, os, sys, urllib.parse, urllib.request
from hashlib import sha256
from pathlib import Path

from packs import Change, pack, unpack
from wire import Closed, WebSocket, encode, sequence

HERE = Path(__file__).parent
HELLO, OPEN, PUSH, HAVE, CLOSE, PING = 0, 2, 3, 4, 6, 7
WELCOME, GRANTED, OPENED, ACK, REJECT, CHANGES, PONG, PART = 0, 1, 3, 4, 5, 6, 8, 11
RESUME, NEW, RECONCILE, REPLACED = range(4)


class Connection:
    """A connection after `Welcome`."""

    def __init__(self, address, client_id):
        host, port = address.rsplit(":", 1)
        self.socket = WebSocket(host, int(port), "/sync", "rejoin.v1")
        assert self.socket.subprotocol == "rejoin.v1"
        self.waiting, self.parts, self.batch = [], [], 0
        self.limits = {0: 65536}
        self.send([HELLO, {0: [1], 1: client_id, 3: 0}])
        welcome = self.receive(WELCOME)
        self.limits, self.store_id = welcome[3], welcome[2]

    def send(self, *messages):
        data, size = b"".join(map(encode, messages)), self.limits[0]
        if len(data) <= size:
            return self.socket.send(data)
        piece = size - 32
        pieces = [data[i:i + piece] for i in range(0, len(data), piece)]
        for index, part in enumerate(pieces):
            self.socket.send(encode([8, {0: index, 1: len(pieces), 2: part}]))

    def receive(self, *kinds):
        """The body of the next message of one of these kinds (with the kind, if there are several); skips kinds unknown to this client."""
        while True:
            while self.waiting:
                kind, body = self.waiting.pop(0)
                if kind == PART:
                    self.parts = self.parts * (body[0] > 0) + [body[2]]
                    if body[0] + 1 == body[1]:
                        self.waiting[:0] = sequence(b"".join(self.parts))
                elif kind in kinds:
                    return body if len(kinds) == 1 else (kind, body)
                elif kind == REJECT:
                    raise AssertionError(f"rejected: {body}")
            self.waiting = sequence(self.socket.receive())


def digest_next(digest, change_hash):
    return sha256(digest + change_hash).digest()[:8]


class Replica:
    """What this client stores of one document."""

    def __init__(self, name):
        self.name = name
        self.changes = {}   # hash -> Change, in causal order
        self.places = {}    # (actor, seq) -> hash
        self.pending = []   # hashes never acknowledged
        self.forget_log()

    def forget_log(self):
        self.cursor, self.actors, self.acked = None, [], {}

    def add(self, change):
        if change.hash not in self.changes:
            assert all(dep in self.changes for dep in change.deps), "a change comes after its deps"
            self.changes[change.hash] = change
            self.places[change.actor, change.seq] = change.hash

    def write(self, changes):
        for change in changes:
            self.add(change)
            self.pending.append(change.hash)

    def clock(self):
        """Everything held that is known to have been in a log."""
        last = {}
        for change in self.changes.values():
            if change.hash not in self.pending:
                last[change.actor] = (change.seq, change.hash[:8])
        return [[actor, *last[actor]] for actor in sorted(last)]

    # -- what is said --

    def open(self, connection, with_cursor=True, with_clock=True):
        """Opens and takes in everything up to the head. Gives the mode, and how many changes came."""
        self.connection, body = connection, {0: 1, 1: self.name, 2: 1}
        if with_cursor and self.cursor:
            body[3] = dict(enumerate(self.cursor))
        elif with_clock and len(self.pending) < len(self.changes):
            body[5] = self.clock()
        connection.send([OPEN, body])
        opened = connection.receive(OPENED)
        self.room, mode, incarnation, head = opened[1], opened[2], opened[3], opened[4]
        if mode == RECONCILE:
            self.forget_log()
            self.actors = [actor for actor, _, _ in opened[6]]
            held = {actor: seq for actor, seq, _ in opened[6]}
            # What the log lacks is pending again, whoever wrote it.
            self.pending = [c.hash for c in self.changes.values() if c.seq > held.get(c.actor, 0)]
            if 5 not in body:
                connection.send([HAVE, {0: 1, 1: self.clock()}])
        if mode != RESUME:
            self.cursor = [connection.store_id, incarnation, 0, sha256(incarnation).digest()[:8]]
        count = 0
        while self.cursor[2] < head:
            count += self.take_changes(connection.receive(CHANGES))
        if mode != RECONCILE or not self.pending:
            assert (self.cursor[2], self.cursor[3]) == (head, opened[5]), "at the head with its digest"
        return mode, count

    def take_changes(self, body):
        """A range of the log: moves the cursor over it. Gives how many changes it brought."""
        first, sparse, changes = body[1], body.get(3), []
        assert body[0] == self.room and first == self.cursor[2] + 1, "ranges come in order, without holes"
        if 2 in body:
            changes = unpack(body[2], self.actors, self.places)
            for change in changes:
                self.add(change)
        if sparse:
            self.cursor[2:] = sparse[0], sparse[1]
        for change in [] if sparse else changes:
            self.advance(change)
        self.fold_acked()
        return len(changes)

    def advance(self, change):
        if change.actor not in self.actors:
            self.actors.append(change.actor)
        self.cursor[2:] = self.cursor[2] + 1, digest_next(self.cursor[3], change.hash)

    def fold_acked(self):
        """Own changes that were acknowledged at the cursor's end are part of the hole-free range."""
        while ranges := [first for first in self.acked if first <= self.cursor[2] + 1]:
            hashes, digest = self.acked.pop(ranges[0])
            if ranges[0] == self.cursor[2] + 1:
                for change_hash in hashes:
                    self.advance(self.changes[change_hash])
                assert self.cursor[3] == digest, "the server's log is the one that we believe it to be"

    def push(self):
        """Pushes everything pending in one batch and waits for the answer. Gives how many were new to the log, and how many refused."""
        connection = self.connection
        connection.batch += 1
        batch = [self.changes[h] for h in self.pending]
        connection.send([PUSH, {0: 1, 1: connection.batch, 2: pack(batch)}])
        refused = []
        while True:
            kind, body = connection.receive(ACK, CHANGES, REJECT)
            if kind == CHANGES:
                self.take_changes(body)
            elif kind == REJECT:
                assert body.get(1) == connection.batch and body.get(4), f"refused altogether: {body}"
                refused = [verdict[0] for verdict in body[4]]
                if len(refused) == len(batch):
                    return 0, len(refused)
            elif body[1] == connection.batch:
                held = body.get(5, [])
                brought = [c.hash for i, c in enumerate(batch) if i not in held and c.hash not in refused]
                assert len(brought) == body[3] and body[6], "counted, and durable"
                self.pending = []
                if brought:
                    self.acked[body[2]] = brought, body[4]
                self.fold_acked()
                return len(brought), len(refused)


# -- the play --

def value(address, name):
    request = urllib.request.Request(f"http://{address}/v1/documents/{urllib.parse.quote(name, safe='')}")
    request.add_header("Accept", "application/json")
    return json.load(urllib.request.urlopen(request, timeout=20))


def check(what, got, want):
    print(f"{'ok  ' if got == want else 'FAIL'} {what}: {got}")
    if got != want:
        sys.exit(f"expected {want}")


def play(address):
    fixture = json.loads((HERE / "changes.json").read_text())
    changes = [Change(bytes.fromhex(h)) for h in fixture["changes"]]
    total, name = len(changes), "interop/python"
    ids = [os.urandom(16) for _ in range(4)]

    ann = Replica(name)
    check("ann opens a document that nobody has", ann.open(Connection(address, ids[0])), (NEW, 0))
    ann.write(changes[:30])
    check("ann pushes 30 changes", ann.push(), (30, 0))
    ann.pending = [c.hash for c in changes[:30]]
    check("ann pushes them again: they are held", ann.push(), (0, 0))
    check("ann's cursor has moved over her own", ann.cursor[2], 30)

    bo = Replica(name)
    check("bo opens and gets them", bo.open(Connection(address, ids[1])), (NEW, 30))
    check("bo has the very same bytes", [c.bytes for c in bo.changes.values()] == [c.bytes for c in changes[:30]], True)
    bo.connection.socket.close()
    ann.write(changes[30:50])
    check("ann pushes 20 more while bo is away", ann.push(), (20, 0))
    bo.write(changes[30:60])
    check("bo comes back by cursor and gets what he lacks", bo.open(Connection(address, ids[1])), (RESUME, 20))
    check("bo pushes 30, of which 20 were held", bo.push(), (10, 0))

    cy = Replica(name)
    cy.write(changes[:40])
    cy.pending = []
    check("cy has changes, but of another log", cy.open(Connection(address, ids[2])), (RECONCILE, 20))
    check("cy's cursor is at the head", cy.cursor[2], 60)
    cy.connection.socket.close()
    cy.cursor[0] = os.urandom(16)
    cy.write(changes[60:])
    check("cy's cursor is of another store: answers with a clock", cy.open(Connection(address, ids[2])), (RECONCILE, 0))
    check("cy pushes what the log lacks", cy.push(), (total - 60, 0))
    check("bo comes back by cursor", bo.open(Connection(address, ids[1])), (RESUME, total - 60))
    check("everybody holds everything", {len(r.changes) for r in (bo, cy)} | {total}, {total})
    dan = Replica("interop/refused")
    check("dan opens another document", dan.open(Connection(address, ids[3])), (NEW, 0))
    dan.changes[changes[9].hash], dan.pending = changes[9], [changes[9].hash]
    check("a change whose deps are missing is refused by name", dan.push(), (0, 1))
    got = value(address, name)
    check("the server's text is the fixture's", (got["text"], got["title"]) == (fixture["text"], fixture["title"]), True)

    connection = bo.connection
    connection.send([99, {0: "from the future"}], [PING, {0: 7, 9: "too"}])
    check("unknown kinds and keys are skipped", connection.receive(PONG), {0: 7})
    connection.send([PING, {}])
    try:
        check("a missing field ends the connection", connection.receive(PONG), None)
    except Closed as closed:
        check("a missing field ends the connection", closed.args[0], 4400)


def golden():
    for vector in json.loads((HERE / "../golden/messages.json").read_text()):
        data = bytes.fromhex(vector["hex"])
        assert b"".join(map(encode, sequence(data))) == data, vector["name"]
    for chain in json.loads((HERE / "../golden/digests.json").read_text()):
        digest = sha256(bytes.fromhex(chain["incarnation"])).digest()[:8]
        assert digest.hex() == chain["start"]
        for change in chain["changes"]:
            digest = digest_next(digest, bytes.fromhex(change["hash"]))
            assert digest.hex() == change["digest"]
    changes = [Change(bytes.fromhex(h)) for h in json.loads((HERE / "changes.json").read_text())["changes"]]
    assert unpack(pack(changes), [], {})[-1].bytes == changes[-1].bytes
    for vector in json.loads((HERE / "packs.json").read_text()):
        held, brings = changes[:vector["held"]], changes[slice(*vector["brings"])]
        actors, places = list(dict.fromkeys(c.actor for c in held)), {(c.actor, c.seq): c.hash for c in held}
        got = unpack(bytes.fromhex(vector["pack"]), actors, places)
        assert [c.bytes for c in got] == [c.bytes for c in brings], vector["name"]
    print("ok   golden vectors")


if __name__ == "__main__":
    golden()
    play(sys.argv[1])
    print("all well")
