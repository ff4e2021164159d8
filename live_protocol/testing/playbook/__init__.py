"""Scripted servers: what a client has to do, step by step, and what it gets in return.

Knows connections and how to match messages. Begin reading in ``playbook``, then ``steps``.
"""

from live_protocol.testing.playbook.connection import PlaybookConnection, PlaybookMismatch
from live_protocol.testing.playbook.loading import InvalidPlaybook
from live_protocol.testing.playbook.playbook import Playbook, PlaybookSequence

__all__ = ["InvalidPlaybook", "Playbook", "PlaybookConnection", "PlaybookMismatch", "PlaybookSequence"]
