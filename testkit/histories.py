"""Replaying histories: whether code of today goes the way that runs went."""

from pathlib import Path

from temporalio.client import WorkflowHistory

from cli.replay import read_history, replayed
from runtime.client import data_converter
from runtime.settings import load_settings


async def replay(*files: Path) -> None:
    """Replay recorded histories: files as `TrialRun.record` and `temporal workflow show --output json` write them.

    Raises:
        AssertionError: the code goes another way.
        CallerError: a file is no history.
    """
    for file in files:
        await replay_history(read_history(file), f"{file}")


async def replay_history(history: WorkflowHistory, source: str) -> None:
    found = await replayed(history, source, data_converter(load_settings()))
    if found.problem is not None:
        raise AssertionError(f"{source} does not replay: {found.problem}")
