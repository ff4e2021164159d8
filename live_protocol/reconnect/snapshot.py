"""A session as JSON that another process can continue: `PersistentConnection.snapshot` and ``restore``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, final

import attrs

from live_protocol.codec.codec import Codec
from live_protocol.codec.decoding import decoder
from live_protocol.codec.schema import Mismatch
from live_protocol.errors import InvalidMessage
from live_protocol.messages import Backend, FunctionCall, LiveClientSetup
from live_protocol.reconnect.outbox import MessageCounts, OutboxEntry
from live_protocol.session.tool_calls import TrackedToolCall
from live_protocol.session.usage import Usage
from live_protocol.states import ToolCallState

VERSION: Final = 1
"""Version of the JSON; a reader refuses any other."""

_USAGE: Final = tuple(field.name for field in attrs.fields(Usage) if field.name != "last")


def setup_digest(setup: LiveClientSetup, codec: Codec) -> str:
    """SHA-256 of a setup, in hexadecimal, without the handle, which changes from connection to connection.

    Args:
        setup: The setup.
        codec: The dialect it is written in.
    """
    if setup.session_resumption is not None:
        setup = attrs.evolve(setup, session_resumption=attrs.evolve(setup.session_resumption, handle=None))
    text = json.dumps(codec.to_dict(setup), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@final
@attrs.frozen(kw_only=True)
class Snapshot:
    """A session at one moment, without any credential.

    Its JSON has the resumption handle and the messages that were not delivered. With the handle and a credential of the
    project, anybody can go on with the conversation. Store it as you would store the conversation.

    Attributes:
        handle: Handle to resume from; out of ``repr``.
        backend: The dialect.
        setup_digest: Digest of the setup, see `setup_digest`; restoring needs the same setup.
        epoch: Number of the newest connection.
        generation: Number of the newest generation.
        accepted: Number of the newest message that a command accepted.
        outbox: Messages that go out on the next connection, oldest first.
        kept: Messages that the session has.
        unconfirmed: Messages that it may lack; `InputLost` reports them after the restore.
        calls: Calls that await a response, with the connection they came on.
        usage: Tokens so far.
        context: JSON of the context updates in force, as a ``contextUpdate`` member; None without any.
        created: Clock reading at which it was made; it means nothing in another process.
    """

    handle: str | None = attrs.field(default=None, repr=False)
    backend: Backend
    setup_digest: str
    epoch: int = 0
    generation: int = 0
    accepted: int = 0
    outbox: Sequence[OutboxEntry] = attrs.field(default=(), repr=lambda outbox: f"<{len(outbox)} messages>")
    kept: MessageCounts = attrs.field(factory=MessageCounts, eq=False, repr=False)
    unconfirmed: MessageCounts = attrs.field(factory=MessageCounts, eq=False, repr=False)
    calls: Sequence[TrackedToolCall] = ()
    usage: Usage = Usage()
    context: str | None = attrs.field(default=None, repr=False)
    created: float | None = None

    def to_json(self) -> str:
        """The JSON text: one line, ASCII."""
        codec = Codec(self.backend)
        return json.dumps(
            {
                "version": VERSION,
                "handle": self.handle,
                "backend": self.backend.value,
                "setupDigest": self.setup_digest,
                "epoch": self.epoch,
                "generation": self.generation,
                "accepted": self.accepted,
                "outbox": [
                    {
                        "number": entry.number,
                        "kind": entry.kind,
                        "media": entry.media,
                        "again": entry.again,
                        "text": entry.payload.decode(),
                    }
                    for entry in self.outbox
                ],
                "kept": _counted(self.kept),
                "unconfirmed": _counted(self.unconfirmed),
                "calls": [
                    {"call": codec.to_dict(entry.call), "state": entry.state.value, "epoch": entry.epoch}
                    for entry in self.calls
                ],
                "usage": {name: getattr(self.usage, name) for name in _USAGE},
                "context": self.context,
                "created": self.created,
            },
            separators=(",", ":"),
        )

    def check(self, setup: LiveClientSetup, codec: Codec) -> None:
        """Refuse to continue the session with another setup.

        Args:
            setup: The setup of the process that restores it.
            codec: Its dialect.

        Raises:
            InvalidMessage: Backend or setup are not those of the session.
        """
        if self.backend is not codec.backend:
            raise InvalidMessage("snapshot.backend", f"the session is {self.backend}'s, the endpoint {codec.backend}'s")
        if self.setup_digest != setup_digest(setup, codec):
            raise InvalidMessage(
                "snapshot.setup_digest",
                "the setup is not the one of that session: restore with the same config, model and policy, "
                "or start a new session",
            )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidMessage: It is not a snapshot, or one of another version. The error does not quote the text.
        """
        try:
            value = json.loads(text)
            version = value["version"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InvalidMessage("snapshot", "is not the JSON of a snapshot") from None
        if version != VERSION:
            raise InvalidMessage(
                "snapshot.version", f"is {version!r}, this library reads {VERSION}; start a new session"
            )
        try:
            return cls(**_members(value))
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, Mismatch):
            raise InvalidMessage("snapshot", "has a member that is missing or of another type") from None


def _members(value: Mapping[str, Any]) -> dict[str, Any]:
    created = value["created"]
    return {
        "handle": _text(value["handle"]),
        "backend": Backend(value["backend"]),
        "setup_digest": _text(value["setupDigest"]) or "",
        "epoch": int(value["epoch"]),
        "generation": int(value["generation"]),
        "accepted": int(value["accepted"]),
        "outbox": tuple(
            OutboxEntry(
                number=int(entry["number"]),
                kind=str(entry["kind"]),
                payload=_message(entry["text"]),
                at=0.0,
                media=bool(entry["media"]),
                again=bool(entry["again"]),
            )
            for entry in value["outbox"]
        ),
        "kept": _counts(value["kept"]),
        "unconfirmed": _counts(value["unconfirmed"]),
        "calls": tuple(
            TrackedToolCall(
                call=decoder(strict=False, exact_integers=False).structure(entry["call"], FunctionCall),
                state=_state(entry["state"]),
                epoch=int(entry["epoch"]),
            )
            for entry in value["calls"]
        ),
        "usage": _usage(value["usage"]),
        "context": _text(value["context"]),
        "created": None if created is None else float(created),
    }


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value


def _message(value: str) -> bytes:
    if not isinstance(json.loads(value), dict):  # found here, not by the server
        raise ValueError
    return value.encode()


def _usage(value: Mapping[str, Any]) -> Usage:
    counts: dict[str, Any] = {name: int(value[name]) for name in _USAGE}
    return Usage(**counts)


def _state(value: str) -> ToolCallState:
    state = ToolCallState(value)
    if state not in (ToolCallState.PENDING, ToolCallState.STREAMING):
        raise ValueError
    return state


def _counted(counts: MessageCounts) -> dict[str, Any]:
    return {"kinds": counts.kinds, "ranges": counts.ranges, "size": counts.size}


def _counts(value: Mapping[str, Any]) -> MessageCounts:
    kinds = {str(kind): int(count) for kind, count in value["kinds"].items()}
    return MessageCounts(kinds, [(int(first), int(last)) for first, last in value["ranges"]], int(value["size"]))
