"""Putting a process on trial: server, catalog and worker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from temporalio.testing import WorkflowEnvironment
from uuid_utils import uuid7

from activities.faults.dice import Dice
from activities.model.call import Heard, unheard
from contracts.errors import SettingsInvalid
from contracts.faults import Faults, ModelFaults
from contracts.settings import ModelAlias
from contracts.stores import ConversationSettings, RecordSettings
from runtime.catalog import Catalog
from runtime.client import Connection, data_converter, ensure_search_attributes
from runtime.server import time_skipping_binary
from runtime.settings import PROJECT, EncryptionSettings, Settings, StorageSettings
from testkit.desk import Trial
from testkit.dying import Deaths
from testkit.recording import Recorder
from testkit.scripts import ScriptedCatalog
from worker import running_worker

PEOPLE = "people.yaml"
UP_WITHIN = timedelta(minutes=1)
"""For the server to answer; the SDK's five seconds are few on a busy machine."""
APART: dict[str, Any] = {
    "notices": (),
    "records": RecordSettings(),
    "conversations": ConversationSettings(),
    "storage": StorageSettings(),
    "encryption": EncryptionSettings(),
    "deployment": None,
}
"""Whatever a project sets up: nobody is told, and nothing is kept, of what is only tried. Its models, which would be
asked before a script is, are there by name only."""


@dataclass(frozen=True)
class Models:
    """The models that answer for agents, instead of a script, what carries requests to them, and who is told what they
    said."""

    aliases: dict[str, ModelAlias]
    transport: Callable[[], httpx2.AsyncBaseTransport] | None = None
    heard: Heard = unheard


@asynccontextmanager
async def open_trial(
    folder: Path, home: Path, people: Path | None, faults: Faults | None, models: Models | None = None
) -> AsyncIterator[Trial]:
    """Raises:
    SettingsInvalid: there is no process in the folder; faults of models are asked for, and a script answers.
    DefinitionInvalid: its files, or those beside it, have mistakes.
    AssertionError: at the end; no activity came to a place of `faults.at`.
    """
    if models is None and faults is not None and faults.model != ModelFaults():
        raise SettingsInvalid(
            "faults.model: in a trial a script answers for models and no endpoint is asked, so that none of these "
            "faults would be made; have the script say what a bad model says (desk.says, desk.asks_for), or make them "
            "on a staging worker that has a model's endpoint"
        )
    given, folder = folder, _found(folder)
    settings = Settings(home=home, people=people or _people(folder), faults=faults, **APART)
    chosen = models or Models({name: ModelAlias() for name in settings.models})
    settings = settings.model_copy(update={"models": chosen.aliases})
    loaded = Catalog.load([folder.parent])
    process = next((name for name, file in loaded.files.items() if file.parent == folder), None)
    if process is None:
        raise SettingsInvalid(
            f"{given}: there is no process.yaml in {folder}; folders are looked for in {Path.cwd()}, then in {PROJECT}"
        )
    recorder = Recorder()
    deaths = Deaths(Dice(faults, home / f"faults-{uuid7()}.log")) if faults is not None else None
    catalog = _recorded(loaded, recorder, overheard=models is not None)
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(time_skipping_binary()),
        data_converter=data_converter(settings),
        test_server_startup_timeout=UP_WITHIN,
    ) as environment:
        await ensure_search_attributes(environment.client)
        connection = Connection(environment.client, address="", ui=None, embedded=True)
        heard, transport = chosen.heard, chosen.transport
        async with running_worker(settings, connection, catalog, transport=transport, heard=heard, deaths=deaths):
            yield Trial(process, environment, settings, catalog, recorder)
        if deaths is not None:
            await deaths.have_been_everywhere()


def _found(folder: Path) -> Path:
    """Relative to where the tests are run, or to the project."""
    return (folder if folder.is_absolute() or folder.exists() else PROJECT / folder).resolve()


def _people(folder: Path) -> Path:
    beside = folder.parent / PEOPLE
    return beside if beside.is_file() else PROJECT / "processes" / PEOPLE


def _recorded(catalog: Catalog, recorder: Recorder, *, overheard: bool) -> ScriptedCatalog:
    """The catalog, whose tools note their calls. Those of `tools.yaml` reach nothing outside."""
    declared = {name: recorder.instead_of(tool.spec) for name, tool in catalog.declared.items()}
    tools = {name: recorder.in_front_of(tool) for name, tool in catalog.tools.items()}
    kept = {each.name: getattr(catalog, each.name) for each in fields(catalog)}
    return ScriptedCatalog(**{**kept, "tools": {**tools, **declared}, "declared": {}}, overheard=overheard)
