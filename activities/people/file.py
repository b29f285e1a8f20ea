"""The directory of people in a YAML file, read anew each time, so that a change holds for the next approval."""

from collections.abc import Iterable
from pathlib import Path

from contracts.directory import Directory
from contracts.errors import DefinitionInvalid, SettingsInvalid
from language.directory import load_directory


class DirectoryFile:
    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def place(self) -> str:
        return str(self._file)

    async def find(self, names: Iterable[str]) -> Directory:
        return await self.everyone()

    async def everyone(self) -> Directory:
        try:
            return load_directory(self._file.read_bytes(), str(self._file))
        except OSError as error:
            said = f"{self._file}: the directory of people cannot be read: {error.strerror}; mend the setting `people`"
            raise SettingsInvalid(said) from error
        except DefinitionInvalid as error:
            raise SettingsInvalid(str(error)) from error

    async def close(self) -> None:
        """Nothing is held open."""
