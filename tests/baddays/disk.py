"""A small disk that can be filled to its last byte."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lacking import lacking


@dataclass(frozen=True)
class Disk:
    folder: Path

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as filler:
            for size in (65_536, 4_096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"x" * size)

    def free(self) -> None:
        (self.folder / "filler").unlink()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Disk]:
    """A file system of its own in memory. Only root may mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        lacking(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
