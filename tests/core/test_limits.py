"""A limit is a positive integer."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from live_protocol.limits import Limits


@pytest.mark.parametrize("field", attrs.fields(Limits), ids=lambda field: field.name)
def test_a_limit_is_a_positive_integer(field: Any) -> None:
    assert getattr(Limits(**{field.name: 1}), field.name) == 1
    for bad in (0, -1, 1.0, True, None, "1"):
        with pytest.raises(ValueError, match=f"Limits.{field.name} must be a positive integer"):
            Limits(**{field.name: bad})
