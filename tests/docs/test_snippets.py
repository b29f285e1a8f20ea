"""Every snippet that is shown is right: YAML loads, TOML is settings, Python compiles, every block has its test."""

import sqlite3
import tomllib

import pytest
import yaml
from pydantic import TypeAdapter
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from activities.records.tables import metadata
from contracts.channels import Channel
from contracts.connections import ToolsFile
from contracts.directory import Directory
from contracts.evals import Evals
from contracts.faults import Faults
from contracts.people_settings import PeopleSettings
from contracts.process import AgentSpec, Step
from contracts.settings import ModelAlias
from contracts.stores import ConversationSettings
from runtime.settings import EncryptionSettings, Settings, StorageSettings
from tests.docs.pages import PAGES, Block, blocks

ALL = [block for page in PAGES for block in blocks(page)]
STEPS = TypeAdapter(dict[str, Step])
CHANNELS = TypeAdapter(tuple[Channel, ...])
AGENTS = TypeAdapter(dict[str, AgentSpec])


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_of_the_format(block: Block) -> None:
    data = yaml.safe_load(block.text)
    if "process" in data:
        return  # a whole file: `validate` runs on it where the page says so
    if "cases" in data:
        Evals.model_validate(data, strict=False)
        return
    if data.keys() <= ToolsFile.model_fields.keys():
        ToolsFile.model_validate(data)
        return
    if data.keys() <= Directory.model_fields.keys():
        Directory.model_validate(data)
        return
    if "agents" in data:
        replies = [agent for agent in data["agents"].values() if isinstance(agent, list)]
        assert replies or AGENTS.validate_python(data["agents"])
    else:
        STEPS.validate_python(data.get("steps", data))


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_toml_is_settings(block: Block) -> None:
    data = tomllib.loads(block.text)
    assert data.keys() <= Settings.model_fields.keys()
    TypeAdapter(dict[str, ModelAlias]).validate_python(data.get("models", {}))
    StorageSettings.model_validate(data.get("storage", {}))
    ConversationSettings.model_validate(data.get("conversations", {}))
    EncryptionSettings.model_validate(data.get("encryption", {}))
    if "faults" in data:
        Faults.model_validate(data["faults"])
    CHANNELS.validate_python(data.get("notices", ()))
    if "people" in data:
        PeopleSettings.model_validate(data["people"])


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", of("sql"), ids=str)
def test_sql_is_for_the_tables_of_records(block: Block) -> None:
    with sqlite3.connect(":memory:") as database:
        for table in metadata.sorted_tables:
            database.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        database.executescript(block.text)
    database.close()


def test_every_block_is_of_a_kind_that_some_test_runs() -> None:
    assert {block.language for block in ALL} <= {"console", "bash", "yaml", "toml", "python", "sql", "mermaid", "ini"}
