from __future__ import annotations

import pytest
from transports.bridges.kits import KITS
from transports.runtimes.conftest import cancelling, nothing_left
from transports.runtimes.kit.kit import Kit

__all__ = ["cancelling", "kit", "nothing_left"]


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()
