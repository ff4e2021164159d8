"""live-protocol measured against google-genai: ``python -m benchmarks``; README.md says how to read it."""
