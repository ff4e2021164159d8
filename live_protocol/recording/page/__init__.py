"""A timeline as one self-contained HTML page.

Knows the timeline and nothing of traces. Begin reading in ``render``; the script and the style are files beside it.
"""

from live_protocol.recording.page.render import render

__all__ = ["render"]
