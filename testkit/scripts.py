"""Scripted models: what agents say in a test, instead of their `rehearsal.yaml`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contracts.base import Json
from runtime.catalog import Catalog


@dataclass(frozen=True)
class ScriptedCatalog(Catalog):
    """`scripts`: by process, the rehearsal that a test has written."""

    scripts: dict[str, "Script"] = field(default_factory=dict)

    def rehearsal(self, process: str) -> Path | None:
        script = self.scripts.get(process)
        return script.file if script is not None else super().rehearsal(process)


@dataclass
class Script:
    """The replies of a process's agents, in the form of `rehearsal.yaml`, in a file of the test's own.

    `original`: what agents say of whom the test says nothing.
    """

    file: Path
    original: Path | None
    agents: dict[str, list[dict[str, Json]]] = field(default_factory=dict)

    def add(self, agent: str, reply: dict[str, Json]) -> None:
        self.agents.setdefault(agent, []).append(reply)
        told: dict[str, Any] = yaml.safe_load(self.original.read_text()) if self.original else {}
        self.file.write_text(yaml.safe_dump({"agents": {**told.get("agents", {}), **self.agents}}, sort_keys=False))
