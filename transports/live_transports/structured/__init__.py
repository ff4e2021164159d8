"""The part that the adapters of trio and anyio share: everything except names and the facts of the runtime.

Knows ``shared`` and the core; trio and anyio hand it a ``Runtime``. Begin reading in ``driver``.
"""
