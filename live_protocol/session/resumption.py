"""What is known about resuming the session (wire.md#resumption)."""

from __future__ import annotations

from typing import final

import attrs

from live_protocol.messages import LiveServerSessionResumptionUpdate


@final
@attrs.frozen(kw_only=True)
class Resumption:
    """State of resumption at one moment.

    Attributes:
        handle: Newest handle that came and was said to be resumable; an update without one does not void it.
        resumable: Whether the newest update says that the session can be resumed from here. If not, resuming with
            ``handle`` may lose what happened since it came.
        issued_at: Clock reading at which ``handle`` came.
        last_consumed_client_message_index: Newest client message that ``handle`` includes (setup is 0); transparent
            mode only.
        updates: How many updates came on this connection.
    """

    handle: str | None = attrs.field(default=None, repr=False)
    resumable: bool = False
    issued_at: float | None = None
    last_consumed_client_message_index: int | None = None
    updates: int = 0

    def updated(self, update: LiveServerSessionResumptionUpdate, now: float | None) -> Resumption:
        """The state after an update of the server."""
        handle = update.new_handle if update.resumable else None
        if not handle:
            return attrs.evolve(self, resumable=False, updates=self.updates + 1)
        index = update.last_consumed_client_message_index
        return Resumption(
            handle=handle,
            resumable=True,
            issued_at=now,
            last_consumed_client_message_index=(self.last_consumed_client_message_index if index is None else index),
            updates=self.updates + 1,
        )
