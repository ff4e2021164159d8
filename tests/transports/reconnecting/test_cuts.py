"""Real TCP, cut at random bytes: what reached the session is what was promised, to the message.

The pure machine is put through thousands of cuts in tests/reconnect; this is about the adapters below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from transports.reconnecting.service import EAGER, QUIET, TEXT, Cutter, Service, user
from transports.runtimes.kit.kit import Kit

from live_protocol import ConnectionClosed, ConnectionFailed, InputLost, Reconnecting
from live_protocol.emulator import Say, UserTurn
from live_protocol.events import LossReason

CUTS = 100


class Witness:
    """Keeps the newest turn, whose history is what the session has."""

    def __init__(self) -> None:
        self.turn: UserTurn | None = None

    def on_text(self, turn: UserTurn) -> list[Say]:
        self.turn = turn
        return [Say("yes")]

    on_speech = on_text
    on_tool_response = on_text

    @property
    def heard(self) -> list[int]:
        assert self.turn is not None
        said = [part.text or "" for content in self.turn.history if content.role == "user" for part in content.parts]
        return [int(number) for text in [*said, self.turn.text] for number in re.findall(r"m(\d+);", text)]


@pytest.mark.parametrize("transparent", [True, False], ids=["transparent", "not"])
def test_nothing_is_lost_in_silence(kit: Kit, transparent: bool, length: Callable[[int, int], int]) -> None:
    model = Witness()
    cuts = length(CUTS, 200)
    events: list[Any] = []
    sent: list[int] = []

    async def scenario() -> None:
        endpoint = service.endpoint(cutter.port, vertex=transparent)
        # How long a message may be on its way on a machine that is busy; beyond it, a handle is taken to include it.
        policy = attrs.evolve(
            EAGER, transparent=transparent or None, retry_first=True, max_handle_failures=10_000, in_flight_window=2.0
        )
        async with (
            kit.jobs() as jobs,
            kit.connect(endpoint, TEXT, timeouts=QUIET, reconnect=policy) as session,
        ):

            async def take() -> None:
                async for event in session:
                    events.append(event)  # noqa: PERF401 - looked at meanwhile

            def behind() -> int:
                """Messages since the newest that was heard; more than fit between two cuts would never get through."""
                newest = re.findall(r"m(\d+);", model.turn.text if model.turn else "")
                return session.connection.accepted - max(map(int, newest), default=0)

            async def talk() -> None:
                while transparent and behind() > 100:
                    await kit.sleep(0.003)
                number = session.connection.accepted + 1
                await session.send_client_content(user(f"m{number};" + "x" * 100))
                sent.append(number)
                await kit.sleep(0.003)

            def heard() -> bool:
                return model.turn is not None and f"m{sent[-1]};" in model.turn.text

            taking = jobs.start(take)
            while cutter.cut < cuts:
                await talk()
            for _ in range(2):  # the second shows what the session knows
                await talk()
                while not heard():  # what was said into the last cut is lost outside transparent mode
                    await talk()
            await session.close()
            assert (await taking.wait()).error is None

    with Service(model, max_history=1_000_000) as service, Cutter(service.port, cuts=cuts, seed=7) as cutter:
        kit.run(scenario)
        assert cutter.cut >= cuts
    heard = model.heard
    reports = [event for event in events if isinstance(event, InputLost)]
    lost = [number for report in reports for first, last in report.numbers for number in range(first, last + 1)]
    assert heard == sorted(set(heard)), "order, or twice"
    assert len(lost) == len(set(lost)), "a loss was reported twice"
    missing = set(sent) - set(heard)
    if transparent:
        # Before the first handle has come there is nothing to resume: a new session begins, and says so.
        assert missing == set(lost)
        assert {report.reason for report in reports} <= {LossReason.NEW_SESSION}
    certain = [report for report in reports if report.certain]
    assert {n for report in certain for first, last in report.numbers for n in range(first, last + 1)} <= missing
    assert missing <= set(lost), "lost in silence"
    assert sum(isinstance(event, Reconnecting) for event in events) >= cuts // 2
    assert not [event for event in events if isinstance(event, ConnectionFailed)]
    assert sum(isinstance(event, ConnectionClosed) for event in events) == 1
