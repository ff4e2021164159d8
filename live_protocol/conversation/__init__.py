"""What was said: transcripts, turns and tokens, put together from events.

Knows events only; nothing of the protocol depends on it. Begin reading in ``transcripts``.
"""

from live_protocol.conversation.transcripts import Role, TranscriptAssembler, Utterance
from live_protocol.conversation.turn_view import TurnCollector, TurnView
from live_protocol.conversation.usage_ledger import ModalityUsage, TurnUsage, UsageLedger

__all__ = [
    "ModalityUsage",
    "Role",
    "TranscriptAssembler",
    "TurnCollector",
    "TurnUsage",
    "TurnView",
    "UsageLedger",
    "Utterance",
]
