"""Putting a process on trial: server, catalog and worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from contracts.errors import SettingsInvalid
from contracts.faults import Faults
from runtime.catalog import Catalog
from runtime.client import Connection, data_converter, ensure_search_attributes
from runtime.server import time_skipping_binary
from runtime.settings import PROJECT, Settings
from testkit.desk import Trial
from testkit.recording import Recorder
from testkit.scripts import ScriptedCatalog
from worker import running_worker

PEOPLE = "people.yaml"


@asynccontextmanager
async def open_trial(folder: Path, home: Path, people: Path | None, faults: Faults | None) -> AsyncIterator[Trial]:
    """Raises:
    SettingsInvalid: there is no process in the folder.
    DefinitionInvalid: its files, or those beside it, have mistakes.
    """
    folder = _found(folder)
    settings = Settings(home=home, people=people or _people(folder), faults=faults)
    loaded = Catalog.load([folder.parent])
    process = next((name for name, file in loaded.files.items() if file.parent == folder), None)
    if process is None:
        raise SettingsInvalid(f"{folder}: there is no process.yaml in it")
    recorder = Recorder()
    catalog = _recorded(loaded, recorder)
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(time_skipping_binary()), data_converter=data_converter(settings)
    ) as environment:
        await ensure_search_attributes(environment.client)
        connection = Connection(environment.client, address="", ui=None, embedded=True)
        async with running_worker(settings, connection, catalog):
            yield Trial(process, environment, settings, catalog, recorder)


def _found(folder: Path) -> Path:
    """Relative to where the tests are run, or to the project."""
    return (folder if folder.is_absolute() or folder.exists() else PROJECT / folder).resolve()


def _people(folder: Path) -> Path:
    beside = folder.parent / PEOPLE
    return beside if beside.is_file() else PROJECT / "processes" / PEOPLE


def _recorded(catalog: Catalog, recorder: Recorder) -> ScriptedCatalog:
    """The catalog, whose tools note their calls. Those of `tools.yaml` reach nothing outside."""
    declared = {name: recorder.instead_of(tool.spec) for name, tool in catalog.declared.items()}
    tools = {name: recorder.in_front_of(tool) for name, tool in catalog.tools.items()}
    kept = {each.name: getattr(catalog, each.name) for each in fields(catalog)}
    return ScriptedCatalog(**{**kept, "tools": {**tools, **declared}, "declared": {}})
