"""What a standard library lacks: the CBOR that rejoin.v1 uses, and a WebSocket client (RFC 6455). Knows no message."""

import base64, hashlib, os, socket, struct


def encode(value) -> bytes:
    """CBOR with shortest numbers and definite lengths; maps in the order given."""
    def head(major, n):
        if n < 24: return bytes([major << 5 | n])
        for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if n < 1 << 8 * size: return bytes([major << 5 | code]) + n.to_bytes(size, "big")
        raise ValueError("too large a number")
    if isinstance(value, bool): return b"\xf5" if value else b"\xf4"
    if isinstance(value, int): return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes): return head(2, len(value)) + value
    if isinstance(value, str): return head(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)): return head(4, len(value)) + b"".join(map(encode, value))
    return head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())


def decode(data: bytes, at: int = 0):
    """One value and where it ends."""
    def take(n):
        nonlocal at
        if at + n > len(data): raise ValueError("truncated CBOR")
        at += n
        return data[at - n:at]
    first = take(1)[0]
    major, n = first >> 5, first & 31
    if major == 7:
        if n not in (20, 21): raise ValueError("no simple value but true and false")
        return n == 21, at
    if n > 27: raise ValueError("indefinite length")
    if n >= 24: n = int.from_bytes(take(1 << n - 24), "big")
    if major == 0: return n, at
    if major == 1: return -1 - n, at
    if major == 2: return take(n), at
    if major == 3: return take(n).decode(), at
    if major == 6: raise ValueError("a tag")
    items = []
    for _ in range(n if major == 4 else 2 * n):
        item, at = decode(data, at)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


def sequence(data: bytes) -> list:
    """All values of a CBOR sequence."""
    at, out = 0, []
    while at < len(data):
        value, at = decode(data, at)
        out.append(value)
    return out


class Closed(Exception):
    """The server closed: with a code and a reason."""


class WebSocket:
    """A client's connection for binary messages."""

    def __init__(self, host, port, path, subprotocol, timeout_s=20):
        self.socket = socket.create_connection((host, port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                             f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n").encode())
        status = self.stream.readline().decode().strip()
        headers = {}
        while line := self.stream.readline().decode().strip():
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        if status.split()[1] != "101" or headers.get("sec-websocket-accept") != accept:
            raise ConnectionError(f"no WebSocket: {status}")
        self.subprotocol = headers.get("sec-websocket-protocol")

    def send(self, payload, opcode=2):
        mask, n = os.urandom(4), len(payload)
        length = bytes([128 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.socket.sendall(bytes([128 | opcode]) + length + mask + masked)

    def receive(self) -> bytes:
        message = b""
        while True:
            first, n = self.read(2)
            if n == 126: n, = struct.unpack(">H", self.read(2))
            elif n == 127: n, = struct.unpack(">Q", self.read(8))
            payload, opcode = self.read(n), first & 15
            if opcode == 8:
                raise Closed(*(struct.unpack(">H", payload[:2]) if payload else (1005,)), payload[2:].decode())
            if opcode == 9: self.send(payload, 10)
            elif opcode in (0, 2):
                message += payload
                if first & 128: return message

    def read(self, n):
        data = self.stream.read(n)
        if len(data) < n: raise Closed(1006, "the connection ended without a close")
        return data

    def close(self):
        try: self.send(struct.pack(">H", 1000), 8)
        except OSError: pass
        self.stream.close()
        self.socket.close()
