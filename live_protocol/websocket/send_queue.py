"""What waits to be written: whole frames, in order."""

from __future__ import annotations

from collections.abc import Callable

from live_protocol.websocket.compression import Compressor
from live_protocol.websocket.frames import CLOSE, MASK_SLICE, PONG, TEXT, frame, unit_mask

# RFC 6455 section 5.5.3 asks for an answer to the newest ping only; a few more cost little, and peers count them.
_MAX_PONGS = 16
_KEYS = 256  # bytes, a multiple of the four of a masking key


class SendQueue:
    """Frames of one end, masked in the client role.

    Attributes:
        compressor: The outbound half of permessage-deflate, if it was agreed on.
        close_sent: Code and reason of our close frame, once it is queued; 1005 for one without a code.
        pong_bytes: Bytes of the pongs that the peer asked for since the last `take`.
    """

    __slots__ = (
        "_client",
        "_entropy",
        "_frames",
        "_keys",
        "_pongs",
        "_size",
        "_unit",
        "_used",
        "_words",
        "close_sent",
        "compressor",
        "pong_bytes",
    )

    def __init__(self, *, client: bool, entropy: Callable[[int], bytes]) -> None:
        self.compressor: Compressor | None = None
        self.close_sent: tuple[int, str] | None = None
        self.pong_bytes: int = 0
        self._client = client
        self._entropy = entropy
        self._keys = b""  # unpredictable bytes, drawn for many frames at a time: each draw is a system call
        self._used = 0
        self._words = 0  # of four bytes, in the newest message that was masked here, and what its mask is a multiple of
        self._unit = 0
        self._frames: list[bytes] = []
        self._size = 0
        self._pongs: list[bytes] = []  # payloads, oldest first

    @property
    def size(self) -> int:
        """Bytes that `take` would give."""
        return self._size + sum(map(self._control_size, self._pongs)) if self._pongs else self._size

    def __bool__(self) -> bool:
        return bool(self._frames or self._pongs)

    def write(self, data: bytes) -> None:
        """Queue bytes as they are: HTTP."""
        self._frames.append(data)
        self._size += len(data)

    def message(self, opcode: int, payload: bytes) -> None:
        """Queue a data message in one frame."""
        data = self.encode(opcode, payload)
        self._frames.append(data)
        self._size += len(data)

    def encode(self, opcode: int, payload: bytes) -> bytes:
        """The one frame of a data message, compressed and masked as agreed; the next message has to follow it."""
        size = len(payload)
        if self._client and self.compressor is None and 125 < size <= MASK_SLICE:
            # `frame` and `apply_mask` without their calls, and with one object less to look at: the way of nearly all
            # messages. Where caches are cold, as in a session in real time, that halves what it costs.
            start = self._used
            key = self._keys[start : start + 4]
            if key:
                self._used = start + 4
            else:
                key = self._mask()
            words = size + 3 >> 2
            if words != self._words:
                self._words, self._unit = words, unit_mask(words)[0]
            mask = self._unit * int.from_bytes(key, "little")
            masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(words << 2, "little")
            head = b"\x81\xfe" if opcode == TEXT else b"\x82\xfe"
            return b"".join((head, size.to_bytes(2, "big"), key, masked[:size]))
        if self.compressor is not None and (compressed := self.compressor.compress(payload)) is not None:
            return frame(opcode, compressed, self._mask() if self._client else None, rsv1=True)
        return frame(opcode, payload, self._mask() if self._client else None)

    def control(self, opcode: int, payload: bytes) -> None:
        """Queue a control frame; its payload is 125 bytes at most."""
        self.write(self._control_frame(opcode, payload))

    def close(self, code: int, reason: str) -> None:
        """Queue the close frame; its reason is 123 bytes at most."""
        self.close_sent = (code, reason)
        self.control(CLOSE, b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode())

    def pong(self, payload: bytes) -> None:
        """Answer a ping, which may let an older one go unanswered."""
        self._pongs.append(payload)
        del self._pongs[:-_MAX_PONGS]
        self.pong_bytes += self._control_size(payload)

    def take(self) -> bytes:
        """Everything that waits; pongs overtake the messages."""
        frames = self._frames
        if self._pongs:
            frames[:0] = [self._control_frame(PONG, payload) for payload in self._pongs]
            self._pongs.clear()
        self.pong_bytes = 0
        if not frames:
            return b""
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        self._size = 0
        return data

    def clear(self) -> None:
        """Forget everything that waits."""
        self._frames.clear()
        self._size = 0
        self._pongs.clear()

    def _control_frame(self, opcode: int, payload: bytes) -> bytes:
        return frame(opcode, payload, self._mask() if self._client else None)

    def _mask(self) -> bytes:
        start = self._used
        if start == len(self._keys):
            self._keys = self._entropy(_KEYS)
            start = 0
        self._used = start + 4
        return self._keys[start : start + 4]

    def _control_size(self, payload: bytes) -> int:
        return len(payload) + (6 if self._client else 2)
