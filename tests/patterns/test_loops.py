"""Steps that come again: WCP-10, WCP-21, WCP-22."""

import pytest

from tests.patterns.files import ended, start
from tests.workflows.office import Office, effects

DRAFT, REVIEW, LEGAL = "draft", "review", "legal"


@pytest.mark.parametrize(
    ("way_in", "decisions", "way"),
    [
        (
            DRAFT,
            {2: "reject", 4: "approve", 5: "reject", 6: "approve", 7: "approve"},
            [DRAFT, REVIEW, DRAFT, REVIEW, LEGAL, REVIEW, LEGAL],
        ),
        (REVIEW, {1: "approve", 2: "approve"}, [REVIEW, LEGAL]),
    ],
)
async def test_10_two_loops_share_a_step_and_are_entered_where_the_input_says(
    office: Office, way_in: str, decisions: dict[int, str], way: list[str]
) -> None:
    run = await start(office, "10-arbitrary-cycles", {"way_in": way_in})
    for number, decision in decisions.items():
        step = f"desk#{number}.{way[number - 1]}"
        await run.waiting(step)
        await run.decide(step, decision, "editor" if way[number - 1] == REVIEW else "lawyer", comment="so be it")
    await ended(run)
    drafts = [f"desk#{number}.draft" for number, place in enumerate(way, 1) if place == DRAFT]
    assert effects(office) == [*drafts, "print"]


@pytest.mark.parametrize(("rings", "pages", "rung", "read"), [(3, 0, 3, 0), (0, 2, 1, 2)])
async def test_21_one_loop_runs_at_least_once_and_the_other_only_while_there_is_something(
    office: Office, rings: int, pages: int, rung: int, read: int
) -> None:
    run = await start(office, "21-structured-loop", {"rings": rings, "pages": pages})
    await ended(run)
    done = effects(office)
    assert [step for step in done if step.endswith("bell")] == [f"ring#{number}.bell" for number in range(1, rung + 1)]
    assert [step for step in done if step.endswith("page")] == [f"read#{number}.page" for number in range(1, read + 1)]
    assert await run.status_of("read") == ("completed" if read else "skipped")


async def test_22_a_process_runs_itself_until_there_is_nothing_inside(office: Office) -> None:
    run = await start(office, "22-recursion", {"boxes": 3})
    await ended(run)
    assert [(step, what) for _, step, what in office.ledger] == [
        ("open", "box 3"),
        ("open", "box 2"),
        ("open", "box 1"),
        ("close", "box 1"),
        ("close", "box 2"),
        ("close", "box 3"),
    ]
