"""A client and a playbook in memory."""

from __future__ import annotations

from typing import Any

import pytest

from live_protocol import CloseInfo, Endpoint, Event, LiveConnection, Timeouts
from live_protocol.close_info import Initiator
from live_protocol.testing import Pair, Playbook, PlaybookConnection, PlaybookMismatch

QUIET = Timeouts(ping_interval=None)
HI = {"role": "user", "parts": [{"text": "Hi"}]}
READY = Playbook().expect_setup().send_setup_complete()


def client(config: dict[str, Any] | None = None, **options: Any) -> LiveConnection:
    endpoint = options.pop("endpoint", Endpoint.gemini(api_key="secret-key"))
    config = {"response_modalities": ["TEXT"]} | (config or {})
    return LiveConnection.client(endpoint, config, **{"model": "m", "timeouts": QUIET} | options)


class Scene:
    """A client and a playbook."""

    def __init__(self, playbook: Playbook, config: dict[str, Any] | None = None, **options: Any) -> None:
        step_timeout = options.pop("step_timeout", None)
        self.client = client(config, **options)
        self.server: PlaybookConnection = playbook.connection(step_timeout=step_timeout)
        self.pair = Pair(self.client, self.server)
        self.pair.pump()

    @property
    def events(self) -> list[Event]:
        return self.pair.client_events

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    @property
    def closed(self) -> CloseInfo:
        assert self.client.close_info is not None
        return self.client.close_info

    def say(self, turns: Any = HI, *, turn_complete: bool = True) -> None:
        self.client.send_client_content(turns, turn_complete=turn_complete)
        self.pair.pump()

    def bye(self, code: int = 1000, reason: str = "") -> None:
        self.client.close(code, reason)
        self.pair.pump()

    def mismatch(self) -> PlaybookMismatch:
        with pytest.raises(PlaybookMismatch) as caught:
            self.server.check()
        return caught.value

    def refused(self) -> PlaybookMismatch:
        """The mismatch, which the client's close reason names too."""
        mismatch = self.mismatch()
        assert (self.closed.code, self.closed.initiator) == (1008, Initiator.REMOTE)
        assert self.closed.reason.startswith(f"playbook: step {mismatch.step}: ")
        return mismatch
