"""Agents of other frameworks: the objects that adapters name, loaded from the files beside a process."""

import importlib
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from contracts.adapters import GROUPS, Adapter
from contracts.errors import ModelFailed

EXPECTED = {
    "pydantic_ai": "a Pydantic AI agent (`Agent(...)`)",
    "openai_agents": "an agent of the OpenAI Agents SDK (`Agent(...)`)",
    "langgraph": "a compiled graph (`.compile()`), or a function that takes our tools and gives one",
}
_MODULES = {"pydantic_ai": "pydantic_ai", "openai_agents": "agents", "langgraph": "langgraph.pregel"}


class Unusable(Exception):
    """What is wrong with an adapter, and the way out."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ForeignAgents:
    """Objects by file and name. A file is imported once, whichever thread asks first."""

    def __init__(self, import_file: Callable[[Path], ModuleType]) -> None:
        self._import_file = import_file
        self._importing = threading.Lock()
        self.modules: dict[Path, ModuleType] = {}

    def load(self, folder: Path, adapter: Adapter) -> Any:
        """Raises:
        Unusable: the framework is not installed, there is no such file or object, or it is of another kind.
        """
        try:
            framework = importlib.import_module(_MODULES[adapter.framework])
        except ModuleNotFoundError as error:
            group = GROUPS[adapter.framework]
            raise Unusable(f"{group} is not installed", f"make setup WITH={group}") from error
        file, _, name = adapter.object.partition(":")
        with self._importing:
            module = self._module(folder / file)
        found = getattr(module, name, None)
        if found is None:
            raise Unusable(f"{file} has no `{name}`", f"there are: {', '.join(_public(module)) or 'none'}")
        if not _is_expected(adapter, framework, found):
            hint = f"name {EXPECTED[adapter.framework]}"
            raise Unusable(f"`{name}` of {file} is a {type(found).__name__}", hint)
        own = sorted(_own_tools(adapter, found))
        if own and not adapter.own_tools:
            hint = "make them tools of Surefoot, or write `own_tools: true`: they then run outside approvals and undo"
            raise Unusable(f"`{name}` of {file} has tools of its own: {', '.join(own)}", hint)
        return found

    def for_turn(self, folder: Path, adapter: Adapter) -> Any:
        """The same, as the model call wants it.

        Raises:
            ModelFailed: it is unusable; why, and the way out.
        """
        try:
            return self.load(folder, adapter)
        except Unusable as error:
            raise ModelFailed(f"adapter {adapter.object}: {error}; {error.hint}") from error

    def _module(self, path: Path) -> ModuleType:
        if path not in self.modules:
            if not path.is_file():
                raise Unusable(f"there is no file {path.name} beside the process", "write FILE.py:NAME")
            try:
                self.modules[path] = self._import_file(path)
            except Exception as error:
                message = f"{path.name} cannot be imported: {type(error).__name__}: {error}"
                raise Unusable(message, "mend it, or install what it needs") from error
        return self.modules[path]


def _public(module: ModuleType) -> list[str]:
    return sorted(name for name in vars(module) if not name.startswith("_"))[:12]


def _is_expected(adapter: Adapter, framework: ModuleType, found: Any) -> bool:
    match adapter.framework:
        case "pydantic_ai":
            return isinstance(found, framework.agent.AbstractAgent)
        case "openai_agents":
            return isinstance(found, framework.Agent)
        case "langgraph":
            return isinstance(found, framework.Pregel) or inspect.isfunction(found)


def _own_tools(adapter: Adapter, found: Any) -> Iterator[str]:
    """The names of tools that would run inside a turn, as far as can be seen before it. A graph that a function makes
    is looked at when it runs."""
    match adapter.framework:
        case "pydantic_ai":
            for toolset in found.toolsets:
                yield from getattr(toolset, "tools", None) or ([toolset.label] if not hasattr(toolset, "tools") else [])
        case "openai_agents":
            yield from (tool.name for tool in found.tools)
            yield from (server.name for server in found.mcp_servers)
            yield from (f"hand-off to {getattr(other, 'name', other)}" for other in found.handoffs)
        case "langgraph":
            for node in getattr(found, "nodes", {}).values():
                yield from getattr(node.bound, "tools_by_name", {})
