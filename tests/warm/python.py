"""A Python that has imported our programs before it is called: a command of theirs then begins in a fraction of the
time, and of the processor's, which is most of what a short one costs.

For tests of what commands do. How the programs start is for others, which start them with Python itself: those of the
README, the demo, the worker, the image.
"""

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.warm import caller, keeper


@contextlib.contextmanager
def open_python(root: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """A program to be called in the place of Python. It keeps the programs and packages that lie in `root`."""
    with tempfile.TemporaryDirectory() as folder:  # the address of a socket has no room for the names of most folders
        address = Path(folder) / "s"
        process = subprocess.Popen(
            [sys.executable, "-m", keeper.__name__, str(address)],
            cwd=root,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == keeper.READY
            python = Path(folder) / "python"
            words = [sys.executable, "-IS", caller.__file__, str(address), str(root), sys.executable]
            python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            python.chmod(0o755)
            yield python
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
