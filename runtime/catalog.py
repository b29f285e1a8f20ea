"""The catalog: which processes and tools there are, found in folders, and their compiled definitions.

A folder given to `Catalog.load` holds process folders, or is one itself. A process folder has a `process.yaml`; a
`tools.py` and a `tools.yaml` in any of them add tools. `tools.py` may import what lies beside it
(`from .helpers import x`), and modules of the folder given (`import acme_erp`), which is put at the end of Python's
path.
"""

import difflib
import re
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from contracts.adapters import Adapter
from contracts.connections import DeclaredTool
from contracts.errors import DefinitionInvalid, ModelFailed, Problem, SettingsInvalid, UnknownProcess
from contracts.run import Definition
from contracts.tools import PROCESS_PREFIX, Tool, ToolSpec, process_tool
from language.load import load_process
from language.tools.files import load_tools
from language.tools.making import ReadFile
from runtime.foreign import ForeignAgents, Unusable
from runtime.imports import import_file

PROCESS_FILES = ("process.yaml", "process.yml", "process.json")
TOOLS_FILE = "tools.py"
DECLARED_FILE = "tools.yaml"
REHEARSAL_FILE = "rehearsal.yaml"

AnyTool = Tool[..., Any]


@dataclass(frozen=True)
class Catalog:
    """Processes and tools, fixed when loaded; a definition is compiled when asked for, and again when its file changes.

    `tools`: of Python, by name. `declared`: of `tools.yaml` files, by name. `files`: process name to its file.
    `origins`: tool name to the file that brought it.
    """

    folders: tuple[Path, ...]
    tools: Mapping[str, AnyTool]
    declared: Mapping[str, DeclaredTool]
    files: Mapping[str, Path]
    origins: Mapping[str, Path]
    _foreign: ForeignAgents = field(default_factory=lambda: ForeignAgents(import_file), repr=False, compare=False)
    _compiled: dict[Path, tuple[int, Definition]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, folders: Sequence[Path]) -> "Catalog":
        """Find the processes and import the tools of these folders.

        Raises:
            SettingsInvalid: a folder does not exist.
            DefinitionInvalid: every `tools.py` that cannot be imported, every mistake of a `tools.yaml`, every tool or
                process defined twice.
        """
        folders = tuple(dict.fromkeys(folder.expanduser().resolve() for folder in folders))
        loading = _Loading()
        for folder in folders:
            if not folder.is_dir():
                raise SettingsInvalid(f"{folder}: there is no such folder; mend SUREFOOT_PROCESSES or create it")
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            for place in _places(folder):
                loading.add(place)
        if loading.problems:
            raise DefinitionInvalid(loading.problems)
        return cls(
            folders=folders,
            tools=MappingProxyType(loading.tools),
            declared=MappingProxyType(loading.declared),
            files=MappingProxyType(loading.files),
            origins=MappingProxyType(loading.origins),
        )

    @property
    def names(self) -> Collection[str]:
        return self.files.keys()

    @property
    def specs(self) -> dict[str, ToolSpec]:
        found: Mapping[str, AnyTool | DeclaredTool] = {**self.tools, **self.declared}
        return {name: tool.spec for name, tool in found.items()}

    def definition(self, name: str) -> Definition:
        """The compiled process of this name.

        Raises:
            UnknownProcess: there is none; the message names close ones and the folders searched.
            DefinitionInvalid: its file has mistakes.
        """
        if name not in self.files:
            raise UnknownProcess(self._unknown(name))
        return self._compile(self.files[name], self.specs)

    def definition_of_file(self, path: Path) -> Definition:
        """The compiled process of a file anywhere; the `tools.py` beside it is known to it too.

        Raises:
            UnknownProcess: there is no such file.
            DefinitionInvalid: the file, or the `tools.py` beside it, has mistakes.
        """
        path = path.expanduser().resolve()
        if not path.is_file():
            raise UnknownProcess(f"{path}: there is no such file")
        loading = _Loading()
        known = set(self.origins.values())
        loading.add_tools_of(path.parent, but=known)
        specs = self.specs
        for name, spec in loading.specs.items():
            # A copy of a known process brings copies of its tools; one that differs is not what a worker would run.
            if name in specs and specs[name] != spec:
                loading.clash(name, loading.origins[name], self.origins[name])
        if loading.problems:
            raise DefinitionInvalid(loading.problems)
        return self._compile(path, {**loading.specs, **specs})

    def rehearsal(self, process: str) -> Path | None:
        """The rehearsal script of a process, when it has one."""
        if process not in self.files:
            return None
        path = self.files[process].parent / REHEARSAL_FILE
        return path if path.is_file() else None

    def foreign(self, process: str, adapter: Adapter) -> Any:
        """The agent of another framework that a process's adapter names.

        Raises:
            ModelFailed: this worker does not know the process, or the object is unusable.
        """
        if process not in self.files:
            raise ModelFailed(f"adapter {adapter.object}: {self._unknown(process)}")
        return self._foreign.for_turn(self.files[process].parent, adapter)

    def _compile(self, path: Path, specs: dict[str, ToolSpec]) -> Definition:
        changed = path.stat().st_mtime_ns
        if (known := self._compiled.get(path)) and known[0] == changed:
            return known[1]
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            problem = Problem(
                file=shown(path), line=1, column=1, message=f"not UTF-8: {error}", hint="save it as UTF-8"
            )
            raise DefinitionInvalid([problem]) from error
        if PROCESS_PREFIX in text:
            specs = {**specs, **{tool.name: tool for tool in map(_process_tool, self.files, self.files.values())}}
        definition = load_process(
            text, shown(path), tools=specs, processes=self.names, adapters=lambda each: self._unusable(path, each)
        )
        self._compiled[path] = (changed, definition)
        return definition

    def _unusable(self, path: Path, adapter: Adapter) -> tuple[str, str] | None:
        """What is wrong with an adapter of a process file, and the way out."""
        try:
            self._foreign.load(path.parent, adapter)
        except Unusable as error:
            return str(error), error.hint
        return None

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.names, n=3, cutoff=0.5)
        known = (
            "did you mean " + " or ".join(close) if close else "known are " + (", ".join(sorted(self.names)) or "none")
        )
        searched = ", ".join(shown(folder) for folder in self.folders) or "no folder"
        return f"there is no process {name!r}; {known}. Searched {searched} (SUREFOOT_PROCESSES adds folders)"


class _Loading:
    """What loading has found so far."""

    def __init__(self) -> None:
        self.tools: dict[str, AnyTool] = {}
        self.declared: dict[str, DeclaredTool] = {}
        self.origins: dict[str, Path] = {}
        self.files: dict[str, Path] = {}
        self.problems: list[Problem] = []
        self._seen: set[Path] = set()

    def add(self, place: Path) -> None:
        if place in self._seen:
            return
        self._seen.add(place)
        self.add_tools_of(place)
        if file := _process_file(place):
            name = _process_name(file)
            if name in self.files:
                hint = "a process name must be unique; rename one"
                message = f"process {name!r} is defined in {shown(self.files[name])} already"
                self.problems.append(Problem(file=shown(file), line=1, column=1, message=message, hint=hint))
            else:
                self.files[name] = file

    @property
    def specs(self) -> dict[str, ToolSpec]:
        found: dict[str, AnyTool | DeclaredTool] = {**self.tools, **self.declared}
        return {name: tool.spec for name, tool in found.items()}

    def add_tools_of(self, folder: Path, but: Collection[Path] = ()) -> None:
        """Those of the files in a folder, but for files known already."""
        if (python := folder / TOOLS_FILE).is_file() and python not in but:
            self.add_tools(python)
        if (declared := folder / DECLARED_FILE).is_file() and declared not in but:
            self.add_declared(declared)

    def add_declared(self, path: Path) -> None:
        try:
            tools = load_tools(path.read_bytes(), shown(path), folder=str(path.parent), read=reader(path.parent))
        except DefinitionInvalid as error:
            self.problems += error.problems
            return
        for tool in tools:
            name = tool.spec.name
            if name in self.origins:
                self.clash(name, path, self.origins[name])
                continue
            self.declared[name] = tool
            self.origins[name] = path

    def add_tools(self, path: Path) -> None:
        try:
            module = import_file(path)
        except Exception as error:  # noqa: BLE001 - whatever users' code raises is told to them with its place
            self.problems.append(_import_problem(path, error))
            return
        for tool in vars(module).values():
            if not isinstance(tool, Tool):
                continue
            name = tool.spec.name
            if name in self.origins and self.tools.get(name) is not tool:
                self.clash(name, path, self.origins[name])
                continue
            self.tools[name] = tool
            self.origins.setdefault(name, path)

    def clash(self, name: str, path: Path, first: Path) -> None:
        text = path.read_text("utf-8")
        own = rf"(?<![\w.]){re.escape(name.rpartition('.')[2])}\s*:" if path.name == DECLARED_FILE else r"(?!)"
        match = re.search(rf"""["']{re.escape(name)}["']|{own}""", text)
        line = text.count("\n", 0, match.end()) + 1 if match else 1
        message = f"tool {name!r} is defined in {shown(first)} already"
        hint = "a tool name must be unique; rename one, or share one function"
        self.problems.append(Problem(file=shown(path), line=line, column=1, message=message, hint=hint))


def _places(folder: Path) -> Iterator[Path]:
    """The folder and, unless it is a process folder, the folders in it; by name."""
    yield folder
    if _process_file(folder) is None:
        inner = (path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
        yield from sorted(inner)


def declared_files(folders: Sequence[Path]) -> list[Path]:
    """Every `tools.yaml` of these folders."""
    places = (place for folder in folders if folder.is_dir() for place in _places(folder.resolve()))
    return [path for place in dict.fromkeys(places) if (path := place / DECLARED_FILE).is_file()]


def reader(folder: Path) -> ReadFile:
    """Reads what lies beside a `tools.yaml`."""

    def read(name: str) -> str | None:
        path = folder / name
        return path.read_text("utf-8", errors="replace") if path.is_file() else None

    return read


def _process_file(folder: Path) -> Path | None:
    return next((path for name in PROCESS_FILES if (path := folder / name).is_file()), None)


def _process_name(path: Path) -> str:
    """The name in the file; the folder's when it cannot be read, so that asking for it tells what is wrong."""
    name = _raw(path).get("process")
    return name if isinstance(name, str) else path.parent.name


def _process_tool(name: str, path: Path) -> ToolSpec:
    """A process as agents are offered it. What is wrong in its file is told when the process itself is asked for."""
    data = _raw(path)
    description, schema = data.get("description"), data.get("input")
    return process_tool(
        name, description if isinstance(description, str) else "", schema if isinstance(schema, dict) else {}
    )


def _raw(path: Path) -> dict[str, Any]:
    """What a process file holds, unchecked; nothing when it cannot be read."""
    try:
        data = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def _import_problem(path: Path, error: Exception) -> Problem:
    """The mistake with the last line of the user's own code that led to it."""
    file, line = path, 1
    if isinstance(error, SyntaxError) and error.filename:
        file, line = Path(error.filename), error.lineno or 1
        column = error.offset or 1
        return Problem(file=shown(file), line=line, column=column, message=f"{type(error).__name__}: {error.msg}")
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(path.parent):
            file, line = Path(frame.filename), frame.lineno or 1
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = f"install it, or put it beside {path.name} and write `from .{error.name} import ...`"
    return Problem(file=shown(file), line=line, column=1, message=f"{type(error).__name__}: {error}", hint=hint)


def shown(path: Path) -> str:
    """Relative to where the user is, when that is shorter to read."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)
