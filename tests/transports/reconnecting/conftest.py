"""The kits of the conformance suite, and what they check of every test."""

from transports.runtimes.conftest import cancelling, kit, nothing_left, pytest_collection_modifyitems

__all__ = ["cancelling", "kit", "nothing_left", "pytest_collection_modifyitems"]
