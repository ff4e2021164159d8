"""What each path may cost, in counts instead of times: ``python -m benchmarks.guard``."""
