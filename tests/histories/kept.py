"""What was recorded stays: `SHA256SUMS` in each folder of histories names its files, in the form of `sha256sum`.

It moves with its files into the folder of a released version, and only ever gets longer.
"""

from hashlib import sha256
from pathlib import Path

LIST = "SHA256SUMS"
WAY_OUT = (
    "A recorded history is never changed or removed, nor is its line in SHA256SUMS: such runs must go on."
    " Bring it back (git restore), guard what the code now does otherwise by `workflow.patched`, and give the new"
    " path a history of its own, in a new file, with `python -m tests.histories.record`."
)


def folders(root: Path) -> list[Path]:
    """All that hold histories, or a list of them."""
    return sorted({file.parent for pattern in ("*.json", LIST) for file in root.rglob(pattern)})


def listed(folder: Path) -> list[tuple[str, str]]:
    """Name and SHA-256 of each file, in the order in which they were recorded."""
    file = folder / LIST
    lines = file.read_text().splitlines() if file.exists() else []
    return [(name, digest) for digest, _, name in (line.partition("  ") for line in lines)]


def problems(folder: Path) -> list[str]:
    """What is not as it was recorded, by the name of its file."""
    recorded = listed(folder)
    found = {file.name: sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.json"))}
    return [
        *(f"{name} is gone" for name, _ in recorded if name not in found),
        *(f"{name} was changed" for name, digest in recorded if found.get(name, digest) != digest),
        *(f"{name} is not in {LIST}" for name in found if name not in dict(recorded)),
    ]


def keep(file: Path, text: str) -> None:
    """Write a history that is new, and list it.

    Raises:
        FileExistsError: there is one of this name, or there was.
    """
    if file.name in dict(listed(file.parent)):
        raise FileExistsError(f"{file.name} was recorded before. {WAY_OUT}")
    with file.open("x") as new:
        new.write(text)
    with (file.parent / LIST).open("a") as names:
        names.write(f"{sha256(file.read_bytes()).hexdigest()}  {file.name}\n")
