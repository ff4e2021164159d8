"""The wire is cut at random bytes, in every phase. What reached the session is what was promised, to the message.

The emulator resumes a session exactly as it was when it made the handle, so its history is the truth that reports are
held against. Outside transparent mode a client cannot know whether a handle was made before or after a message that
was on its way at the time. So the reports are exact where the user speaks at human pace (no two messages at the same
moment, each answer takes a moment), and on the safe side where not.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable

import attrs
import pytest

from core.reconnect.world import EAGER, GEMINI, TEXT, VERTEX, Witness, World, numbers, of
from live_protocol import events as ev
from live_protocol.emulator import ModelAction, Say, UserTurn, Wait
from live_protocol.errors import NotConnected
from live_protocol.reconnect import GoAwayPolicy, OfflinePolicy, ReconnectPolicy
from live_protocol.states import Phase, TurnState

SEEDS = (1, 2, 3)
CUTS_A_SESSION = 50
ONE_MESSAGE = 350  # bytes: no two of the calm user's messages fit
PHASES = {
    f"{state} further {way}"
    for state in ("CONNECTING NEW IDLE", "OPEN SETUP_SENT IDLE", "OPEN READY IDLE", "OPEN READY GENERATING")
    for way in ("up", "down")
}
"""Where cuts have to fall: states of the machine on a connection that resumes, and whose bytes are cut."""


def answer(turn: UserTurn) -> Iterable[ModelAction]:
    """Takes a moment, sometimes so long that it is cut in mid-turn, by the wire or by the user."""
    if len(turn.text) % 3 == 0:
        return (Wait(0.02), Say("well"), Wait(0.2), Say("yes indeed, that is so"))
    return (Wait(0.02), Say("yes, yes"))


class Chaos:
    """One session that is cut so and so often."""

    def __init__(self, seed: object, policy: ReconnectPolicy, *, calm: bool, **options: object) -> None:
        self.random = random.Random(repr(seed))
        self.calm = calm
        self.model = Witness(answer)
        self.world = World(
            policy,
            model=self.model,
            endpoint=VERTEX if policy.transparent else GEMINI,
            config=TEXT,
            jitter=self.random.random,
            connect=False,
            **options,
        )
        self.world.at_close = self.arm_for_the_close
        self.spare = "lifetime" in options
        self.accepted: list[int] = []

    def arm_for_the_close(self) -> None:
        """The few bytes of close frames would hardly ever be hit otherwise."""
        if self.random.random() < 0.3:
            self.world.cut_up = self.world.cut_down = None
            setattr(self.world, self.random.choice(("cut_up", "cut_down")), self.random.randint(1, 4))

    def arm(self) -> None:
        """Choose the byte to cut at, counted from now, in either direction."""
        world, rng, draining = self.world, self.random, self.draining
        if not world.ready and rng.random() < 0.6:
            world.fail_dials = int(rng.random() < 0.05)
            return  # or nearly all cuts would hit the opening handshake
        if self.spare and not draining and world.machine.epoch % 2:
            return  # or hardly a connection would live until it is warned
        if (world.cut_up is None and world.cut_down is None) or draining:
            world.cut_up = world.cut_down = None
            # What is left of a connection that was warned, and of a turn, is short.
            short = draining or world.machine.turn is TurnState.GENERATING
            where = rng.randint(1, 100 if short else rng.choice((30, 400, 1500)))
            if rng.random() < 0.5:
                world.cut_up = where
            else:
                world.cut_down = where

    @property
    def draining(self) -> bool:
        return self.world.machine.phase is Phase.DRAINING

    def act(self) -> None:
        world, rng = self.world, self.random
        step = rng.random()
        if step < (0.3 if world.ready else 0.6):
            world.wait(0.01 if self.draining else rng.choice((0.0, 0.05, 0.3)))
        elif step > 0.97 and world.server is not None:
            world.cut(reset=rng.random() < 0.5)
        else:
            self.speak()
            if self.calm:
                world.wait(0.01)
            elif rng.random() < 0.8:
                world.run()

    def speak(self) -> None:
        machine, rng = self.world.machine, self.random
        before = machine.accepted
        text = f"m{before + 1};" + "x" * (200 + rng.randint(0, 2) if self.calm else rng.choice((0, 1, 2, 200)))
        try:
            if rng.random() < 0.4:
                machine.send_realtime_input(text=text)
            else:
                content = {"role": "user", "parts": [{"text": text}]}
                machine.send_client_content(content, turn_complete=rng.random() < 0.7)
        except NotConnected:
            assert machine.accepted == before
        else:
            self.accepted.append(machine.accepted)

    def play(self, cuts: int) -> None:
        world, machine = self.world, self.world.machine
        begun = False
        while world.cuts < cuts:
            self.arm()
            if begun:
                self.act()
            else:
                world.until_ready()
                begun = world.ready
        world.cut_up = world.cut_down = None
        world.at_close = lambda: None
        world.until_ready()
        world.wait(1.0)
        # The first ends content that was left open, the second shows what the session knows.
        world.say(f"m{machine.accepted + 1};")
        self.accepted.append(machine.accepted)
        world.wait(1.0)
        world.say("the end")
        world.wait(1.0)

    @property
    def reached(self) -> list[int]:
        """Numbers of the messages that the session has, in its order."""
        return [int(number) for text in self.model.heard for number in re.findall(r"m(\d+);", text)]

    @property
    def reports(self) -> list[ev.InputLost]:
        return of(self.world.events, ev.InputLost)


def run(seed: object, total: int, policy: ReconnectPolicy, *, calm: bool = False, **options: object) -> Counter[str]:
    phases: Counter[str] = Counter()
    for part in range(max(1, total // CUTS_A_SESSION)):
        chaos = Chaos((seed, part), policy, calm=calm, **options)
        chaos.play(min(total, CUTS_A_SESSION))
        reached = chaos.reached
        lost = [number for number in numbers(chaos.reports) if number <= chaos.accepted[-1]]  # not "the end"
        print(
            f"seed={seed!r} part={part}: {len(chaos.accepted)} accepted, {len(lost)} reported, {len(reached)} reached"
        )
        assert len(set(lost)) == len(lost), "a loss was reported twice"
        assert all(report.count == len(numbers([report])) == sum(report.kinds.values()) for report in chaos.reports)
        assert reached == [number for number in chaos.accepted if number in set(reached)], "order, or twice"
        missing = sorted(set(chaos.accepted) - set(reached))
        # What could not be sent when a server leaves goes out together with what came after it.
        if policy.transparent or (calm and "lifetime" not in options):
            assert missing == lost
        else:
            assert set(missing) <= set(lost), "lost in silence"
            certain = numbers([report for report in chaos.reports if report.certain])
            assert set(certain) <= set(missing)
        phases += chaos.world.cut_in
        phases += Counter(event.reason.value for event in of(chaos.world.events, ev.Reconnecting))
    return phases


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_transparent_mode_delivers_every_message_exactly_once_and_in_order(
    seed: int, length: Callable[[int, int], int], capsys: pytest.CaptureFixture[str]
) -> None:
    phases = run(seed, length(200, 2000), attrs.evolve(EAGER, transparent=True))
    parts = capsys.readouterr().out.splitlines()
    assert all(" 0 reported" in part for part in parts), "transparent mode loses nothing, reported or not"
    assert set(phases) >= PHASES | {"DIAL_FAILED", "OPEN READY IDLE further between"}


@pytest.mark.slow
@pytest.mark.parametrize("offline", list(OfflinePolicy))
@pytest.mark.parametrize("seed", SEEDS)
def test_otherwise_what_was_lost_is_what_was_reported(
    seed: int, offline: OfflinePolicy, length: Callable[[int, int], int]
) -> None:
    run(
        seed,
        length(100, 2000),
        attrs.evolve(EAGER, offline=offline, offline_bytes=ONE_MESSAGE, in_flight_window=0.001),
        calm=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("offline", list(OfflinePolicy))
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_in_silence_however_hasty_the_user(
    seed: int, offline: OfflinePolicy, length: Callable[[int, int], int]
) -> None:
    run(seed, length(100, 2000), attrs.evolve(EAGER, offline=offline, offline_bytes=1000, in_flight_window=0.001))


@pytest.mark.slow
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_also_where_handles_die_and_new_sessions_begin(
    seed: int, transparent: bool, length: Callable[[int, int], int]
) -> None:
    policy = attrs.evolve(EAGER, transparent=transparent or None, offline_bytes=ONE_MESSAGE, in_flight_window=0.001)
    run(seed, length(100, 2000), policy, calm=True, max_handles=1)


@pytest.mark.slow
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_also_where_the_server_goes_away_all_the_time(
    seed: int, transparent: bool, length: Callable[[int, int], int]
) -> None:
    policy = attrs.evolve(
        EAGER,
        transparent=transparent or None,
        offline_bytes=ONE_MESSAGE,
        in_flight_window=0.001,
        max_handle_failures=10_000,
        go_away=GoAwayPolicy(margin=0.1),
    )
    phases = run(seed, length(150, 2000), policy, calm=True, lifetime=0.3, go_away_notice=0.25)
    assert phases["GO_AWAY"]
    leaving = {f"{state} further {way}" for state in ("OPEN DRAINING", "CLOSING DRAINING") for way in ("up", "down")}
    assert {re.sub(" (IDLE|GENERATING|GENERATED|INTERRUPTED)", "", phase) for phase in phases} >= leaving
