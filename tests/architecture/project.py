"""What the architecture tests look at: the project's own files, as they lie in the clone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "contracts",
    "language",
    "workflows",
    "activities",
    "runtime",
    "api",
    "cli",
    "testkit",
    "evals",
    "processes",
)
ENTRY_POINTS = ("worker.py", "starter.py")


def modules() -> Iterator[Path]:
    """Every Python file of the product, without tests and benchmarks."""
    yield from (ROOT / name for name in ENTRY_POINTS)
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def committed() -> Iterator[Path]:
    """Every file under version control that is there and is text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in listed.split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in path.read_bytes()[:8192]:
            yield path


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
