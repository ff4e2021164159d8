"""The part of a session that outlives its connection."""

from __future__ import annotations

from typing import final

import attrs

from live_protocol.session.resumption import Resumption
from live_protocol.session.sending import ClientMessageEncoder
from live_protocol.session.tool_calls import ToolCallTracker
from live_protocol.session.usage import Usage


@final
@attrs.frozen(kw_only=True)
class CarriedState:
    """The state that a client's session takes over from the one before it.

    Attributes:
        calls: The table of tool calls. The sessions share it: there is one for all of them.
        generation: Number of the newest generation; the next one is one higher.
        usage: Tokens so far.
        resumption: How the session can be resumed, until the first update comes.
        encoder: The rules of what may be sent, with what they remember of the activity window and the audio's format.
            The sessions share it; each has its own if left out.
    """

    calls: ToolCallTracker
    generation: int = 0
    usage: Usage = Usage()
    resumption: Resumption = Resumption()
    encoder: ClientMessageEncoder | None = None
