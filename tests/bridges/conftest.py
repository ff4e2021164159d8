from __future__ import annotations

import pytest
from adapters.conftest import cancelling, nothing_left
from adapters.kit import Kit

from bridges.kits import KITS

__all__ = ["cancelling", "kit", "nothing_left"]


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()
