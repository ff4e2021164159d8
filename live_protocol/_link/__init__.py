"""The inside of `live_protocol.link`: its state machine, frames, compression, what waits to leave, and how it ends."""
