"""Paced voice sessions beside what an expert writes by hand: ``python -m benchmarks --only voice``."""
