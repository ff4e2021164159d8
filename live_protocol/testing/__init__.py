"""Tools for tests: two ends joined in memory, a clock, scripted servers, faults on the wire.

May know everything; nothing knows it. Begin reading in ``pair``, then ``playbook``.
"""

from live_protocol.testing.faults import Faults, FaultyMachine, ServerMachine
from live_protocol.testing.pair import FakeClock, Machine, Pair, chunks
from live_protocol.testing.playbook import InvalidPlaybook, Playbook, PlaybookConnection, PlaybookMismatch, Stage

__all__ = [
    "FakeClock",
    "Faults",
    "FaultyMachine",
    "InvalidPlaybook",
    "Machine",
    "Pair",
    "Playbook",
    "PlaybookConnection",
    "PlaybookMismatch",
    "ServerMachine",
    "Stage",
    "chunks",
]
