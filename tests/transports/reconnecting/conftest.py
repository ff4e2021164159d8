"""The kits of the conformance suite, and what they check of every test."""

from transports.runtimes.conftest import cancelling, kit, nothing_left

__all__ = ["cancelling", "kit", "nothing_left"]
