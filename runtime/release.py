"""Which release a worker is: Temporal's Worker Versioning, in use where a deployment is named."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from runtime.settings import PROJECT, Settings

ENGINE = ("contracts", "language", "workflows", "activities", "runtime", "worker.py", "uv.lock")
"""What decides how a run goes, of the project's own files; another SDK or CEL may decide otherwise too."""
BUILD_ID_LENGTH = 12
_PASSED_OVER = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """What a worker tells the server about itself; None where no deployment is named, and any worker may do any work.

    A workflow that does not say otherwise stays on the release that it was started on.
    """
    if settings.deployment is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment, build_id(settings)),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


def build_id(settings: Settings) -> str:
    """The one that is set, else one made of the source."""
    return settings.build_id or build_id_of([PROJECT / name for name in ENGINE], settings.folders)


def build_id_of(engine: Iterable[Path], processes: Iterable[Path]) -> str:
    """The first 12 digits of the SHA-256 of an engine's Python files, of files that are named as such and of all files
    of processes, by their names.

    Equal files make equal ids, wherever they lie; a change of any makes another.
    """
    found = hashlib.sha256()
    for root in (*engine, *processes):
        for name, path in sorted(_files(root)):
            if path.suffix == ".py" or root == path or root not in engine:
                found.update(f"{root.name}/{name}\0".encode())
                found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:BUILD_ID_LENGTH]


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    if root.is_file():
        yield "", root
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and not _PASSED_OVER.intersection(name.parts):
            yield name.as_posix(), path
