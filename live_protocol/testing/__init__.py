"""Test tools: a client and a server joined in memory, a fake clock, scripted servers, and network faults.

May know everything in this package; nothing knows it. Begin reading in ``pair``, then ``playbook``.
"""

from live_protocol.testing.faults import Faults, FaultyConnection
from live_protocol.testing.pair import FakeClock, Pair, PairEnd, chunks
from live_protocol.testing.playbook import (
    InvalidPlaybook,
    Playbook,
    PlaybookConnection,
    PlaybookMismatch,
    PlaybookSequence,
)

__all__ = [
    "FakeClock",
    "Faults",
    "FaultyConnection",
    "InvalidPlaybook",
    "Pair",
    "PairEnd",
    "Playbook",
    "PlaybookConnection",
    "PlaybookMismatch",
    "PlaybookSequence",
    "chunks",
]
