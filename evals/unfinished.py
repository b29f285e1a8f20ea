"""The answers of a recording that broke off, so that nobody pays for them a second time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.errors import CallerError
from contracts.evals import RecordedReply, Recording
from contracts.settings import ModelAlias
from runtime.catalog import shown


class Unfinished:
    """The tries that were finished, in a file of the home folder until the recording is whole."""

    def __init__(self, file: Path, models: Mapping[str, ModelAlias]) -> None:
        """Other models than these answer otherwise: what they said is forgotten.

        Raises:
            CallerError: the file cannot be read.
        """
        self._file = file
        self._recording = Recording(models=dict(models), tries={})
        if file.is_file() and (found := _read(file)).models == self._recording.models:
            self._recording = found

    def of(self, case: str, index: int) -> tuple[RecordedReply, ...]:
        """What was answered in the try with this index."""
        tries = self._recording.tries.get(case, ())
        return tries[index] if index < len(tries) else ()

    def keep(self, case: str, index: int, replies: Sequence[RecordedReply]) -> None:
        tries = self._recording.tries.get(case, ())
        now = {**self._recording.tries, case: (*tries[:index], tuple(replies), *tries[index + 1 :])}
        self._recording = self._recording.model_copy(update={"tries": now})
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(self._recording.model_dump_json(exclude_defaults=True))
        fresh.replace(self._file)  # whole, whenever the program ends

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)

    def __str__(self) -> str:
        """What the next recording is spared; nothing where nothing was finished."""
        tries = sum(map(len, self._recording.tries.values()))
        if not tries:
            return ""
        return (
            f" Finished tries ({tries}) are kept in {shown(self._file)}, and the next `--record` asks only for what is "
            "not there; delete it to ask for everything anew"
        )


def _read(file: Path) -> Recording:
    try:
        return Recording.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise CallerError(f"{shown(file)} holds no answers ({error.errors()[0]['msg']}); delete it") from error
