"""The future that a receiving task waits for on asyncio: resumed in the same call, woken by the loop, cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from live_protocol.events import Event, PingReceived
from live_transports.shared.wakeup import Wakeup

PING = PingReceived(payload=b"x")
WHO = contextvars.ContextVar("WHO", default="nobody")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(main: Coroutine[Any, Any, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory, debug=True) as runner:
            runner.run(main)

    return run


class Receiver:
    """A task that waits, and what it got."""

    def __init__(self) -> None:
        self.wakeup = Wakeup(asyncio.get_running_loop())
        self.got: list[Event | None] = []
        self.contexts: list[str] = []
        self.task = asyncio.ensure_future(self._receive())

    async def _receive(self) -> None:
        WHO.set("receiver")
        while True:
            self.wakeup.takes_event = True
            self.got.append(await self.wakeup)
            self.contexts.append(WHO.get())

    async def in_loop(self, step: Callable[[], object]) -> None:
        """Run a step as a callback of the loop, where no task is running."""
        done = asyncio.get_running_loop().create_future()

        def call() -> None:
            step()
            done.set_result(None)

        asyncio.get_running_loop().call_soon(call)
        await done

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def test_a_callback_resumes_it_at_once(run: Any) -> None:
    async def main() -> None:
        receiver = Receiver()
        await asyncio.sleep(0)

        def arrive() -> None:
            for count in range(1, 4):
                assert receiver.wakeup.can_resume()
                receiver.wakeup.resume(PING)
                assert len(receiver.got) == count

        await receiver.in_loop(arrive)
        assert receiver.got == [PING, PING, PING]
        assert set(receiver.contexts) == {"receiver"}
        assert WHO.get() == "nobody"
        await receiver.leave()

    run(main())


def test_a_task_does_not_resume_another(run: Any) -> None:
    async def main() -> None:
        receiver = Receiver()
        await asyncio.sleep(0)
        assert not receiver.wakeup.can_resume()
        receiver.wakeup.wake()
        receiver.wakeup.wake()
        assert receiver.got == []
        await asyncio.sleep(0)
        assert receiver.got == [None]
        await receiver.leave()

    run(main())


def test_one_that_was_woken_or_cancelled_is_not_resumed(run: Any) -> None:
    async def main() -> None:
        receiver = Receiver()
        await asyncio.sleep(0)

        def wake() -> None:
            receiver.wakeup.wake()
            assert not receiver.wakeup.can_resume()

        await receiver.in_loop(wake)
        await asyncio.sleep(0)
        assert receiver.got == [None]

        def cancel() -> None:
            assert receiver.task.cancel("enough")
            assert not receiver.wakeup.can_resume()

        await receiver.in_loop(cancel)
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await receiver.task
        assert receiver.got == [None]

    run(main())


def test_a_cancelled_wait_can_be_repeated(run: Any) -> None:
    async def main() -> None:
        wakeup = Wakeup(asyncio.get_running_loop())
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await wakeup
        assert not wakeup.cancel()
        asyncio.get_running_loop().call_soon(wakeup.wake)
        assert await wakeup is None

    run(main())


def test_what_the_task_raises_stays_with_the_task(run: Any) -> None:
    async def main() -> None:
        wakeup = Wakeup(asyncio.get_running_loop())

        async def fail() -> None:
            wakeup.takes_event = True
            await wakeup
            raise ValueError("in the application")

        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(wakeup.resume, PING)
        with pytest.raises(ValueError, match="in the application"):
            await task

    run(main())
