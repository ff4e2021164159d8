"""What a session needs to go on where another connection ended; only `PersistentConnection` asks for it."""

from __future__ import annotations

from live_protocol.session.live_session import LiveSession
from live_protocol.session.resumption import Resumption
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.session.usage import Usage
from live_protocol.states import PhaseInput

__all__ = ["send_encoded", "take_over"]


def take_over(
    session: LiveSession, calls: ToolCallTracker, generation: int, usage: Usage, resumption: Resumption
) -> None:
    """Before its setup is sent: give a session what the one before it knew.

    Args:
        session: A client's new session.
        calls: The table of calls, shared from now on.
        generation: Number of the newest generation; the next one is one higher.
        usage: Tokens so far.
        resumption: How the session could be resumed until news come.
    """
    tracker = session._tracker
    session.tool_calls = tracker.calls = calls
    tracker.turns.generation = generation
    tracker.usage = usage
    tracker.resumption = resumption


def send_encoded(session: LiveSession, member: str, payload: bytes, *, awaiting: bool | None) -> None:
    """Send a client message that was checked and encoded elsewhere, by the same rules.

    Args:
        session: A session that is ready.
        member: The member the message has.
        payload: Its text.
        awaiting: Whether an answer is due after it; None where it changes nothing about that.

    Raises:
        IllegalInState: The session is not ready. Nothing was sent.
    """
    phase = session._next_phase("send", PhaseInput.CLIENT_MESSAGE)
    if awaiting is not None:
        session._stall.awaiting = awaiting
    session._sent(phase, member, payload)
