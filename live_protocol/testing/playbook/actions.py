"""The steps of a playbook that act."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from live_protocol.messages import LiveServerMessage

__all__ = ["CloseStep", "DropStep", "IgnoreStep", "LabelStep", "RejectStep", "SendRawStep", "SendStep", "WaitStep"]


@attrs.frozen
class SendStep:
    """Messages, sent at once.

    Attributes:
        messages: The messages.
        title: What they are, in one line.
    """

    messages: Sequence[LiveServerMessage]
    title: str


@attrs.frozen
class SendRawStep:
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
class WaitStep:
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
class LabelStep:
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
class IgnoreStep:
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
class CloseStep:
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
class DropStep:
    """End the connection without a close frame, as a lost network does."""

    title: str = "drop"


@attrs.frozen
class RejectStep:
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
