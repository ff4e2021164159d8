"""Memory of this process; imports nothing that one side brings and the other does not."""

from __future__ import annotations

import os
import sys


def resident() -> int:
    """Bytes of resident memory now; where the system does not tell, the most there ever was."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
