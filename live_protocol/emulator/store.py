"""State that outlives a connection: conversations by resumption handle, ephemeral tokens, and counters for ids."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from live_protocol.codec.schema import fields, plain
from live_protocol.emulator.memory import ConversationMemory, PendingCall
from live_protocol.errors import InvalidMessage
from live_protocol.messages import AuthToken, AuthTokenCreateRequest, LiveClientSetup

_HORIZON: Final = 20 * 3600.0  # wire.md#ephemeral-tokens
_EXPIRES: Final = 30 * 60.0
_NEW_SESSION: Final = 60.0
_NAMESPACE: Final = uuid.UUID("1d7b7f36-47c5-5cb5-9a53-0a7a1f2f6a52")


class IdGenerator:
    """Generates ids.

    Args:
        entropy: Returns this many random bytes; without it ids count up, the same in every run.
    """

    def __init__(self, entropy: Callable[[int], bytes] | None) -> None:
        self._entropy = entropy
        self._counts: dict[str, int] = {}

    def count(self, kind: str) -> int:
        """The next number of its kind, from 1."""
        self._counts[kind] = number = self._counts.get(kind, 0) + 1
        return number

    def uuid(self, kind: str) -> str:
        """An id in the form of a UUID."""
        number = self.count(kind)
        if self._entropy is not None:
            return str(uuid.UUID(bytes=self._entropy(16), version=4))
        return str(uuid.uuid5(_NAMESPACE, f"{kind}-{number}"))

    def name(self, kind: str) -> str:
        """An id that begins with its kind."""
        number = self.count(kind)
        return f"{kind}-{number if self._entropy is None else self._entropy(16).hex()}"


@attrs.frozen
class _Checkpoint:
    """The state of a conversation when its handle was issued.

    Attributes:
        conversation: The conversation.
        length: Length of its history.
        pending: Its pending calls.
    """

    conversation: ConversationMemory
    length: int
    pending: Mapping[str, PendingCall]


class SessionStore:
    """Conversations by handle.

    Args:
        ids: Source of handles.
        max_handles: Number of handles to keep.
    """

    def __init__(self, ids: IdGenerator, max_handles: int) -> None:
        self._ids = ids
        self._max_handles = max_handles
        self._handles: OrderedDict[str, _Checkpoint] = OrderedDict()

    def issue(self, conversation: ConversationMemory) -> str:
        """Return a handle for the conversation's current state."""
        handle = self._ids.name("handle")
        self._handles[handle] = _Checkpoint(conversation, conversation.length, dict(conversation.pending))
        if len(self._handles) > self._max_handles:
            self._handles.popitem(last=False)
        return handle

    def find(self, handle: str) -> ConversationMemory | None:
        """Return the conversation of a handle, in its current state."""
        checkpoint = self._handles.get(handle)
        return None if checkpoint is None else checkpoint.conversation

    def rewind(self, handle: str) -> None:
        """Restore a conversation to the state of a handle.

        Later history is forgotten, including answers to calls. Later calls stay pending, since a client may answer them
        on another connection (wire.md#resuming).
        """
        checkpoint = self._handles[handle]
        conversation = checkpoint.conversation
        conversation.back_to(checkpoint.length)
        later = conversation.pending
        conversation.pending = {
            key: entry for key, entry in checkpoint.pending.items() if key not in conversation.cancelled
        } | later


# --- ephemeral tokens: wire.md#ephemeral-tokens -----------------------------------------------------------------


@attrs.define(kw_only=True)
class StoredToken:
    """A minted token.

    Attributes:
        uses: Number of sessions that it may still start; None is unlimited.
        expires: Clock reading at which it expires.
        new_session_expires: Clock reading from which it starts no new session.
        setup: The setup of its sessions.
        mask: Paths of the setup's locked fields, in snake_case; None locks everything.
    """

    uses: int | None
    expires: float
    new_session_expires: float
    setup: LiveClientSetup | None
    mask: tuple[tuple[str, ...], ...] | None

    def usable(self, now: float, *, resuming: bool) -> bool:
        """Whether a session may start now."""
        return now < self.expires and (resuming or (now < self.new_session_expires and self.uses != 0))

    def use(self) -> None:
        """Count a new session."""
        if self.uses is not None:
            self.uses -= 1

    def locked(self, setup: LiveClientSetup) -> LiveClientSetup:
        """Return the effective setup: the token's own, or the client's with the locked fields replaced.

        A setup that is locked as a whole still takes the client's resumption, since a token cannot contain the handle.
        """
        if self.setup is None:
            return setup
        if self.mask is None:
            resumption = setup.session_resumption or self.setup.session_resumption
            return attrs.evolve(self.setup, session_resumption=resumption)
        for path in self.mask:
            setup = _replace(setup, self.setup, path)
        return setup


def _replace(target: Any, source: Any, path: tuple[str, ...]) -> Any:
    name, *rest = path
    ours, theirs = getattr(target, name), getattr(source, name)
    if rest and (ours or theirs):
        empty = type(ours or theirs)()
        theirs = _replace(ours or empty, theirs or empty, tuple(rest))
    return attrs.evolve(target, **{name: theirs})


class TokenStore:
    """Mints tokens and keeps them."""

    def __init__(self, ids: IdGenerator) -> None:
        self._ids = ids
        self._tokens: dict[str, StoredToken] = {}

    def find(self, name: str) -> StoredToken | None:
        """Return a token by its name."""
        return self._tokens.get(name)

    def mint(self, request: AuthTokenCreateRequest, now: float, wall: datetime | None) -> AuthToken:
        """See `Emulator.mint_token`."""
        uses = 1 if request.uses is None else request.uses
        if uses < 0:
            raise InvalidMessage("uses", "must not be negative; 0 is unlimited")
        expires = _ahead("expire_time", request.expire_time, wall, _EXPIRES)
        new_session = _ahead("new_session_expire_time", request.new_session_expire_time, wall, _NEW_SESSION)
        setup = request.bidi_generate_content_setup
        mask = None if request.field_mask is None else _paths(request.field_mask, setup)
        name = f"auth_tokens/{self._ids.name('token')}"
        self._tokens[name] = StoredToken(
            uses=uses or None, expires=now + expires, new_session_expires=now + new_session, setup=setup, mask=mask
        )
        return AuthToken(
            name=name,
            expire_time=request.expire_time,
            new_session_expire_time=request.new_session_expire_time,
            uses=request.uses,
        )


def _ahead(path: str, time: datetime | None, wall: datetime | None, otherwise: float) -> float:
    if time is None:
        return otherwise
    if wall is None:
        raise InvalidMessage(path, "is a time of day; pass the current one as wall=")
    ahead = (time - wall).total_seconds()
    if not 0 < ahead <= _HORIZON:
        raise InvalidMessage(path, "must be in the future, by at most 20 hours")
    return ahead


def _paths(mask: str, setup: LiveClientSetup | None) -> tuple[tuple[str, ...], ...]:
    paths: list[tuple[str, ...]] = []
    for text in filter(None, (item.strip() for item in mask.split(","))):
        names: list[str] = []
        cls: type | None = LiveClientSetup
        for key in text.split("."):
            members = {name: field for field in fields(cls) for name in (field.name, field.json)} if cls else {}
            if key not in members:
                raise InvalidMessage("field_mask", f"{text!r} is not a field of the setup")
            names.append(members[key].name)
            cls = _message_class(members[key].hint)
        paths.append(tuple(names))
    if setup is None and paths:
        raise InvalidMessage("field_mask", "locks fields, but there is no setup")
    return tuple(paths)


def _message_class(hint: Any) -> type | None:
    (option, *_) = plain(hint)
    return option if isinstance(option, type) and attrs.has(option) else None
