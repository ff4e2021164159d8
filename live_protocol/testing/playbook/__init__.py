"""Scripted servers: a script says step by step what the client must do and what the server sends.

Knows connections and the emulator's text helpers. Begin reading in ``playbook``, then ``steps`` and ``connection``.
"""

from live_protocol.testing.playbook.connection import PlaybookConnection, PlaybookMismatch
from live_protocol.testing.playbook.loading import InvalidPlaybook
from live_protocol.testing.playbook.playbook import Playbook, PlaybookSequence

__all__ = ["InvalidPlaybook", "Playbook", "PlaybookConnection", "PlaybookMismatch", "PlaybookSequence"]
