"""The steps of a playbook that act."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from live_protocol.messages import LiveServerMessage

__all__ = ["Close", "Drop", "Ignore", "Label", "Reject", "Send", "SendRaw", "Wait"]


@attrs.frozen
class Send:
    """Messages, sent at once.

    Attributes:
        messages: The messages.
        title: What they are, in one line.
    """

    messages: Sequence[LiveServerMessage]
    title: str


@attrs.frozen
class SendRaw:
    """A WebSocket message as it is: `str` as text, `bytes` as binary.

    Attributes:
        data: The message.
        name: What reports call it.
    """

    data: str | bytes
    name: str = ""

    @property
    def title(self) -> str:
        """What it does, in one line."""
        return (
            self.name or f"send {len(self.data)} {'characters' if isinstance(self.data, str) else 'bytes'} as they are"
        )


@attrs.frozen
class Wait:
    """Do nothing for some time; what the client says meanwhile waits.

    Attributes:
        seconds: How long.
    """

    seconds: float

    @property
    def title(self) -> str:
        """What it does, in one line."""
        return f"wait {self.seconds:g} s"


@attrs.frozen
class Label:
    """A heading.

    Attributes:
        text: Its text.
    """

    text: str

    @property
    def title(self) -> str:
        """What it says."""
        return f"# {self.text}"


@attrs.frozen
class Ignore:
    """From here on the client may say this at any time.

    Attributes:
        kinds: What.
    """

    kinds: frozenset[str]

    @property
    def title(self) -> str:
        """What it does, in one line."""
        return f"ignore {', '.join(sorted(self.kinds))}"


@attrs.frozen
class Close:
    """Close the connection.

    Attributes:
        code: Close code.
        reason: Reason.
    """

    code: int
    reason: str

    @property
    def title(self) -> str:
        """What it does, in one line."""
        return f"close with {self.code}"


@attrs.frozen
class Drop:
    """End the connection without a close frame, as a lost network does."""

    title: str = "drop"


@attrs.frozen
class Reject:
    """Refuse the upgrade.

    Attributes:
        status: HTTP status.
        headers: Header fields.
        body: Body.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def title(self) -> str:
        """What it does, in one line."""
        return f"reject with {self.status}"
