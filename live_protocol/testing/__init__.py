"""ROOM"""

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
