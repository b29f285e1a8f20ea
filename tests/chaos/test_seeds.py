"""Mixed faults by seed: nothing is lost and nothing done twice. `make chaos SEED=7` plays one seed."""

from pathlib import Path

import pytest

from tests.chaos.play import Stage, report
from tests.chaos.suite import play_all, wanted, wanted_seeds

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(6 * 3600)]

LEAST_STRUCK = 0.95


async def test_every_promise_holds_under_every_seed(stage: Stage, tmp_path: Path) -> None:
    results = await play_all(stage, wanted(wanted_seeds()), tmp_path)
    failed = [played for played in results if played.broken]
    assert not failed, "\n\n".join(map(report, failed))
    runs = sum(len(played.runs) for played in results)
    struck = sum(len(played.struck) for played in results)
    assert struck >= LEAST_STRUCK * runs, f"only {struck} of {runs} runs saw a fault"
