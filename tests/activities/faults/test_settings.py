"""Faults are made where they are meant to be, and nowhere else; they are announced."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from temporalio.client import Client

import worker
from contracts.errors import SettingsInvalid
from contracts.faults import Faults, ModelFaults
from contracts.queues import QueueSettings
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.queues import polled
from runtime.settings import PROJECT, Settings, load_settings


def connection(client: Client) -> Connection:
    return Connection(client, address="somewhere", ui=None, embedded=True)


async def refusal(client: Client, settings: Settings) -> str:
    """Why a worker with these settings does not start. It has prepared nothing."""
    with pytest.raises(SettingsInvalid) as told:
        async with worker.running_worker(settings, connection(client), Catalog.load([PROJECT / "processes"])):
            pass
    assert not settings.home.exists()
    return str(told.value)


def test_there_are_none_by_default(client: Client, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert worker.dice_of(settings, connection(client), polled(settings)) is None


async def test_a_worker_of_another_namespace_does_not_start(client: Client, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", faults=Faults(namespace="staging", kill=0.1))
    said = await refusal(client, settings)
    assert re.search(r"'staging'.*this worker is for namespace 'default'.*take \[faults\] out", said)


async def test_a_worker_whose_models_are_a_script_does_not_start_with_faults_of_models(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(namespace="default", model=ModelFaults(busy=1))
    settings = Settings(home=tmp_path / "home", faults=faults, queues=QueueSettings(models="models"))
    assert "faults.model needs a model's endpoint" in await refusal(client, settings)
    without_models = polled(settings, ["workflows"])
    assert worker.dice_of(settings, connection(client), without_models) is not None
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    assert worker.dice_of(settings, connection(client), polled(settings)) is not None


def test_a_namespace_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_FAULTS__KILL", "0.1")
    with pytest.raises(SettingsInvalid, match=r"(?i)namespace"):
        load_settings()


def test_a_worker_that_makes_faults_says_so(client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = Faults(namespace="default", seed=7, kill=0.01, at=("*/pay:between",), model=ModelFaults(busy=0.1))
    settings = Settings(home=tmp_path, faults=faults)
    worker.announce(settings, connection(client), Catalog.load([PROJECT / "processes"]), ())
    said = capsys.readouterr().err
    assert "FAULTS ARE MADE ON PURPOSE: kill 1%, model.busy 10%, 1 places, seed 7" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"at": ["pay"]}, "'pay' is no place; write WORKFLOW_ID/ACTIVITY_ID:before"),
        ({"at": ["*/pay:during"]}, "is no place"),
        ({"kill": 2}, "less than or equal to 1"),
        ({"longest": "2h"}, "more than 1m"),
        ({"model": {"busy": 0.7, "down": 0.6}}, "these shares make 1.3"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Faults.model_validate({"namespace": "default", **wrong})
