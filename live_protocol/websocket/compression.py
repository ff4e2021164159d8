"""permessage-deflate (RFC 7692): what the two ends agree on, and the two directions of the codec.

wsproto's own extension lets a control frame inside a compressed message end the inflation of that message, inflates
without a bound and trusts the parameters of the peer; this one replaces its three inbound hooks.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

import attrs
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from live_protocol.errors import FrameViolation, LimitExceeded

OFFER: Final = "permessage-deflate; client_max_window_bits"
"""What a client offers (RFC 7692 section 7.1.2.2: it can take a limit on its own window)."""

_NAME: Final = "permessage-deflate"
_MAX_BITS: Final = 15
_NAME_CHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER: Final = re.compile(rf'[ \t]*({_NAME_CHARS})[ \t]*(?:=[ \t]*(?:({_NAME_CHARS})|"({_NAME_CHARS})")[ \t]*)?')
_BITS: Final = re.compile(r"[89]|1[0-5]")
_TAIL: Final = b"\x00\x00\xff\xff"


@attrs.frozen(kw_only=True)
class DeflateParameters:
    """What both ends agreed on (RFC 7692 section 7.1).

    Attributes:
        server_max_window_bits: log2 of the window the server compresses with, 8 to 15.
        client_max_window_bits: The same for the client.
        server_context_takeover: Whether the server's window lives on from message to message.
        client_context_takeover: The same for the client.
    """

    server_max_window_bits: int = _MAX_BITS
    client_max_window_bits: int = _MAX_BITS
    server_context_takeover: bool = True
    client_context_takeover: bool = True

    def response(self) -> str:
        """The value of Sec-WebSocket-Extensions by which a server accepts."""
        parts = [_NAME]
        if not self.server_context_takeover:
            parts.append("server_no_context_takeover")
        if not self.client_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_max_window_bits < _MAX_BITS:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        return "; ".join(parts)


def _elements(values: Sequence[str]) -> list[tuple[str, dict[str, str | None]]] | None:
    """The extensions in header lines, names in lower case; None if the grammar or a name's uniqueness is broken.

    Quoted strings hold a token and nothing else (RFC 6455 section 9.1), so neither separator can hide in one.
    """
    extensions: list[tuple[str, dict[str, str | None]]] = []
    for element in ",".join(values).split(","):
        if not element.strip(" \t"):
            continue  # RFC 9110 section 5.6.1: empty list elements do not count
        name, *parameters = element.split(";")
        if not re.fullmatch(_NAME_CHARS, name.strip(" \t")):
            return None
        arguments: dict[str, str | None] = {}
        for parameter in parameters:
            match = _PARAMETER.fullmatch(parameter)
            if match is None or match[1].lower() in arguments:
                return None
            arguments[match[1].lower()] = match[2] or match[3]
        extensions.append((name.strip(" \t").lower(), arguments))
    return extensions


def _parse_parameters(parameters: dict[str, str | None], *, response: bool) -> DeflateParameters | None:
    """What the parameters mean; None for an unknown one or a value out of range (RFC 7692 section 7.1)."""
    bits = {"server_max_window_bits": _MAX_BITS, "client_max_window_bits": _MAX_BITS}
    keeps = {"server_no_context_takeover": True, "client_no_context_takeover": True}
    for name, value in parameters.items():
        if name in keeps and value is None:
            keeps[name] = False
        elif name in bits and value is not None and _BITS.fullmatch(value):
            bits[name] = int(value)
        elif name != "client_max_window_bits" or value is not None or response:
            return None  # only an offer may name client_max_window_bits without a value
    return DeflateParameters(
        server_max_window_bits=bits["server_max_window_bits"],
        client_max_window_bits=bits["client_max_window_bits"],
        server_context_takeover=keeps["server_no_context_takeover"],
        client_context_takeover=keeps["client_no_context_takeover"],
    )


def accept_offer(values: Sequence[str]) -> DeflateParameters | None:
    """Server role: the first offer that can be met; None declines (RFC 7692 section 5.1).

    Args:
        values: Every Sec-WebSocket-Extensions line of the request.
    """
    for name, parameters in _elements(values) or ():
        if name == _NAME:
            agreement = _parse_parameters(parameters, response=False)
            if agreement is not None:
                return agreement
    return None


def read_response(values: Sequence[str], *, offered: bool) -> DeflateParameters | str | None:
    """Client role: what the server chose.

    Args:
        values: Every Sec-WebSocket-Extensions line of the response.
        offered: Whether `OFFER` was sent.

    Returns:
        The agreement, None without one, or a text that says why the response cannot stand (RFC 6455 section 4.1).
    """
    extensions = _elements(values)
    if extensions is None:
        return "Sec-WebSocket-Extensions is malformed"
    if not extensions:
        return None
    if not offered or len(extensions) > 1 or extensions[0][0] != _NAME:
        return "the server chose an extension that was not offered"
    return _parse_parameters(extensions[0][1], response=True) or "the parameters of permessage-deflate are not valid"


class Decompressor(PerMessageDeflate):
    """The inbound half, as hooks of wsproto's frame parser.

    Attributes:
        total: Bytes of the current message so far, inflated.
        fault: A fault of the message found after its data was inflated. Text that is not UTF-8 is
            the earlier fault, so the owner looks here after wsproto has decoded, or the outcome would depend on how
            the bytes were cut.
    """

    def __init__(self, *, limit: int, context_takeover: bool) -> None:
        super().__init__()
        self._enabled = True
        self.total: int = 0
        self.fault: FrameViolation | LimitExceeded | None = None
        self._limit = limit
        self._context_takeover = context_takeover
        self._control = False
        self._compressed = False
        self._stream = zlib.decompressobj(-_MAX_BITS)  # the largest window reads what any smaller one wrote

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Only the first frame of a message may carry RSV1 (RFC 7692 section 6); control frames change nothing."""
        self._control = opcode.iscontrol()
        starts = opcode in (Opcode.TEXT, Opcode.BINARY)
        if starts:
            self._compressed = rsv.rsv1
            self.total = 0
        return RsvBits(starts, False, False)

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,
        data: bytes,
    ) -> bytes | CloseReason:
        """Inflate one slice; never more than one byte over the limit comes into being."""
        if self._control:
            return data
        if not self._compressed:
            self.total += len(data)
            return data
        return self._inflate(data)

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,
        fin: bool,
    ) -> bytes | CloseReason | None:
        """Give back the tail that the sender cut off each message (RFC 7692 section 7.2.2)."""
        if self._control or not fin or not self._compressed:
            return None
        data = self._inflate(_TAIL)
        if not self._context_takeover:
            self._stream = zlib.decompressobj(-_MAX_BITS)
        return data

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        try:
            plain = self._stream.decompress(data, self._limit + 1 - self.total)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self.total += len(plain)
        if self.total > self._limit:
            self.fault = LimitExceeded("max_message", self._limit)
        elif self._stream.eof:
            # After a final block the decompressor ignores what follows, so later messages would come out empty.
            self.fault = FrameViolation("the compressed data has a final block", close_code=1007)
        return plain


class Compressor:
    """The outbound half."""

    def __init__(self, *, bits: int, context_takeover: bool) -> None:
        self._bits = bits
        self._context_takeover = context_takeover
        self._stream = zlib.compressobj(wbits=-bits) if bits > 8 else None  # zlib cannot write a 256-byte window

    def compress(self, payload: bytes) -> bytes | None:
        """The payload of a frame with RSV1, or None if the message is better sent uncompressed.

        None also stands for a window of 8 bits, which zlib reads but does not write; an end may always send
        uncompressed (RFC 7692 section 6).
        """
        stream = self._stream
        if stream is None or not payload:
            return None
        data = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
        if not self._context_takeover:
            self._stream = zlib.compressobj(wbits=-self._bits)
        return data[:-4]
