"""The adapters' conformance suite with an ASGI server at the server's end, but for what is the server's to do."""

from __future__ import annotations

from typing import Final

import pytest
from transports.bridges.kits import AsgiKit
from transports.bridges.servers import SERVERS
from transports.runtimes import test_serving, test_talking
from transports.runtimes.kit.kit import Kit

ALL: Final = tuple(SERVERS)
pytestmark = pytest.mark.filterwarnings("ignore:remove second argument:DeprecationWarning")

OWN: Final = "the server listens, waits for requests and ends what does not end"
FRAMES: Final = "wsproto finds the frame at fault; its server just hangs up"
LOST: Final = "hypercorn reports every end of a client as a lost connection"

WEAKER: Final[dict[tuple[str, tuple[str, ...]], str]] = {
    ("test_clients_that_say_nothing", ALL): OWN,
    ("test_the_server_goes_away", ALL): OWN,
    ("test_handlers_that_do_not_end_are_cancelled", ALL): OWN,
    ("test_a_server_that_goes_away_before_the_upgrade", ALL): OWN,
    ("test_rude_clients[uvicorn-wsproto-unmasked", ("uvicorn-wsproto",)): FRAMES,
    ("test_rude_clients[hypercorn-unmasked", ("hypercorn",)): FRAMES,
    ("test_rude_clients[hypercorn-error", ("hypercorn",)): LOST,
    ("test_a_machine_that_drives_itself[hypercorn-handler", ("hypercorn",)): LOST,
    ("test_server_sees_the_request", ("hypercorn",)): LOST,
    ("test_clients_that_answer_no_pings", ALL): "pings and their deadlines are the server's",
}

for _module in (test_serving, test_talking):
    globals().update({name: test for name, test in vars(_module).items() if name.startswith("test_")})

clean = test_serving.clean


@pytest.fixture(params=SERVERS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return AsgiKit(request.param)


@pytest.fixture(autouse=True)
def weaker(request: pytest.FixtureRequest, kit: Kit) -> None:
    for (name, servers), why in WEAKER.items():
        if request.node.name.startswith(name) and kit.name in servers:
            pytest.skip(why)
