"""Adapters: a live session in your runtime. Each module stands alone and imports only its own runtime."""
