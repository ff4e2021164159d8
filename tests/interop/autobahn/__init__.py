"""The Autobahn test suite against our link, both roles; `run.py` says how."""
