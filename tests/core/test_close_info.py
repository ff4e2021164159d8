"""Close codes and reasons become a verdict and a hint."""

from __future__ import annotations

import pytest

from live_protocol.close_info import CLEAN_CODES, CloseInfo, Initiator, diagnose


@pytest.mark.parametrize("code", sorted(CLEAN_CODES - {1001}))
def test_a_clean_close_has_no_hint(code: int) -> None:
    assert diagnose(code, "") == (False, "")


def test_a_reason_is_recognised_in_any_case_and_truncated() -> None:
    assert diagnose(1007, "API KEY NOT VALID") == diagnose(1007, "xx api key not valid")
    assert diagnose(1011, "internal error") != diagnose(1008, "internal error")
    assert diagnose(1006, "")[0]
    assert not diagnose(1011, "You exceeded your current quota, pl")[0]


def test_close_info_has_defaults() -> None:
    info = CloseInfo(code=1000, clean=True, initiator=Initiator.LOCAL)
    assert (info.reason, info.hint, info.last_frames, info.pending_tool_calls, info.age) == ("", "", (), (), None)
