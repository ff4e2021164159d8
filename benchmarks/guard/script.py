"""``python -m benchmarks.guard.script NAME...``: what valgrind watches.

It imports everything once, which takes valgrind half a minute, and forks twice for each path: one child lets so many
messages pass, the other twice as many. A child inherits the counts of its parent, so the difference is the messages'
alone. It prints a line for each child: number of messages, process, name of the path.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Final, NoReturn

from benchmarks.guard.counts import WARM_UP
from benchmarks.guard.paths import PATHS, Path
from benchmarks.guard.yardstick import YARDSTICK


def _child(path: Path, count: int) -> NoReturn:
    with path.open() as run:
        for _ in range(WARM_UP):
            run(path.messages)
        run(count)
        os._exit(0)


def main(names: list[str]) -> None:
    """Run the scripts."""
    gc.disable()
    paths: Final = {**PATHS, **YARDSTICK}
    for name in names:
        path = paths[name]
        for count in (path.messages, 2 * path.messages):
            child = os.fork()
            if not child:
                _child(path, count)
            _, status = os.waitpid(child, 0)
            if status:
                raise RuntimeError(f"{name} failed")
            print(count, child, name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
