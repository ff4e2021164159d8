"""The adapters' conformance suite over WebSockets of other libraries, but for what is those libraries' to do."""

from __future__ import annotations

from adapters import test_closing, test_receiving, test_sending, test_talking

for _module in (test_closing, test_receiving, test_sending, test_talking):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_"):
            globals()[f"test_{_module.__name__.rpartition('_')[2]}_{_name[5:]}"] = _test
