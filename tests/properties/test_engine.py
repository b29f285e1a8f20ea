"""Random plans: the engine does what a small interpreter of the format page says. On a real server."""

import pytest

from tests.properties.rig import Rig
from tests.properties.search import counterexample


@pytest.mark.parametrize(
    ("seed", "count"),
    [(0, 40), pytest.param(2, 150, marks=pytest.mark.slow), pytest.param(1, 2000, marks=pytest.mark.long)],
)
@pytest.mark.timeout(1800)  # To make a counterexample small takes its time.
async def test_the_engine_runs_any_plan_as_the_format_page_says(rig: Rig, seed: int, count: int) -> None:
    found = await counterexample(rig, seed=seed, count=count)
    assert found is None, found
