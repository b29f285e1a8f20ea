"""Scripted models: what agents say in a test, instead of their `rehearsal.yaml`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from activities.adapters.call import own_model
from contracts.adapters import Adapter
from contracts.base import Json
from contracts.errors import ModelFailed
from runtime.catalog import Catalog


@dataclass(frozen=True)
class ScriptedCatalog(Catalog):
    """`scripts`: by process, the rehearsal that a test has written. `overheard`: what models are asked goes through
    hands of ours, and an agent that asks models of its own does not work."""

    scripts: dict[str, "Script"] = field(default_factory=dict)
    overheard: bool = False

    def rehearsal(self, process: str) -> Path | None:
        script = self.scripts.get(process)
        return script.file if script is not None else super().rehearsal(process)

    def foreign(self, process: str, adapter: Adapter) -> Any:
        agent = super().foreign(process, adapter)
        if self.overheard and (why := why_unheard(adapter, agent)) is not None:
            raise ModelFailed(f"{process}: {why}")
        return agent


def why_unheard(adapter: Adapter, agent: Any) -> str | None:
    """Of an agent whose models are its own: why nobody hears what they say, and the way out."""
    way_out = own_model(adapter, agent)
    if way_out is None:
        return None
    return (
        f"{adapter.object} ({adapter.framework}) asks models of its own, whose answers are neither recorded nor "
        f"replayed; {way_out}, so that its alias answers"
    )


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
