"""The adapters' conformance suite over WebSockets of other libraries, but for what is theirs to do and they do not.

A test that meets a parameter of a dial which the library has not is skipped by the kit.
"""

from __future__ import annotations

from typing import Final

import pytest
from transports.runtimes import test_closing, test_connecting, test_receiving, test_sending, test_talking
from transports.runtimes.kit.kit import Kit

ALL: Final = ("aiohttp", "picows", "websockets")
PINGS: Final = "pings and their deadlines are the library's"

WEAKER: Final = {
    ("test_upgrade_refused", ("aiohttp",)): "does not show the body of a refusal",
    ("test_upgrade_refused[picows-bytewise", ("picows",)): "shows of a refusal's body what came with the head",
    ("test_bad_arguments_dial_nothing", ALL): "the library dials first, and what it takes is its own",
    ("test_a_limit_broken_in_the_handshake", ALL): "the bound is the library's",
    ("test_the_transport_ends[websockets-reset-requested", ("websockets",)): "does not say what broke the transport",
    ("test_the_transport_ends[picows-reset", ("picows",)): "does not say what broke the transport",
    ("test_the_transport_ends_in_tls[picows-eof", ("picows",)): "asyncio complains of what it leaves behind",
    ("test_cancelled_anywhere", ("picows",)): "does not free the socket of a dial that was cancelled",
    ("test_a_program_that_was_held_up_reads_before_it_gives_up", ALL): PINGS,
    ("test_a_peer_that_answers_no_pings", ("aiohttp", "picows")): PINGS,
    ("test_a_peer_that_reads_nothing_and_answers_no_pings", ALL): PINGS,
    ("test_idle_sockets_are_not_small_talk", ALL): PINGS,
    ("test_the_reason_survives_a_write_that_would_fail", ALL): "no library listens before it speaks",
    ("test_unclean_ends_cannot_be_missed[aiohttp-too-big", ("aiohttp",)): "the bound is the library's",
    ("test_unclean_ends_cannot_be_missed[websockets-too-big", ("websockets",)): "the bound is the library's",
    ("test_unclean_ends_cannot_be_missed[picows-reset", ("picows",)): "does not say what broke the transport",
    ("test_nobody_reads_the_last_word", ("aiohttp", "picows")): "closes TCP under a peer that still sends",
    ("test_the_peer_leaves_its_connection_open", ("websockets",)): "tells of a close frame when TCP has ended",
    ("test_a_slow_peer_and_a_hundred_senders[picows-tls", ("picows",)): "its TLS takes in some megabytes at once",
}

for _module in (test_closing, test_connecting, test_receiving, test_sending, test_talking):
    globals().update({name: test for name, test in vars(_module).items() if name.startswith("test_")})


@pytest.fixture(autouse=True)
def weaker(request: pytest.FixtureRequest, kit: Kit) -> None:
    for (name, libraries), why in WEAKER.items():
        if request.node.name.startswith(name) and kit.name in libraries:
            pytest.skip(why)
