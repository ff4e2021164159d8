"""A conversation assembled from events: utterances, turns of the model, token usage.

Knows events and messages, and nothing of connections; every class takes each event with ``feed(event)``.
Begin reading in ``transcripts``.
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
