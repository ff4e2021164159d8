"""What the adapters of trio and anyio share: everything but the names and the facts of the runtime."""
