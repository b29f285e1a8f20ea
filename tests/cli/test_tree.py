"""The plan as a tree, as text at several widths."""

import io

import pytest
from rich.console import Console, RenderableType

from cli.marks import ASCII, UNICODE, lasting
from cli.output import THEME
from cli.tree import nested, plan_tree
from contracts.agent import AgentView
from contracts.live import Speech, WrittenCall
from contracts.model import Usage
from runtime.watch import Attempt, Observation
from tests.cli.views import NOW, step, view

WRITING = WrittenCall(tool="mail.send", length=12, tail='{"to": "ada"')


def drawn(renderable: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, theme=THEME)
    console.print(renderable, crop=False)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_groups_and_items_are_nested_by_their_ids() -> None:
    steps = (step("hr", kind="steps"), step("hr.create"), step("train"), step("train[0]"), step("train[0].book"))
    roots = nested(steps)
    assert [(node.name, [inner.name for inner in node.inside]) for node in roots] == [
        ("hr", ["create"]),
        ("train", ["[0]"]),
    ]
    assert roots[1].inside[0].inside[0].name == "book"


def test_the_tree_shows_status_time_attempts_and_cost_in_columns() -> None:
    steps = (
        step("hr", "running", kind="steps", title=""),
        step("hr.create", attempts=3, cost=0.0123),
        step("hr.mail", "running"),
        step("last", "pending"),
    )
    assert drawn(plan_tree(Observation(view(*steps)), UNICODE, NOW, width=80), 80).splitlines() == [
        "▶ hr                                                 running    1m 15s",
        "├─ ✔ create  do hr.create                            completed   2.0 s  x3 $0.01",
        "└─ ▶ mail    do hr.mail                              running    1m 15s",
        "· last       do last                                 pending",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_long_texts_are_cut_so_that_each_step_stays_one_line(width: int) -> None:
    steps = tuple(step(f"a_rather_long_name_of_a_step_{index}", title="words " * 40) for index in range(3))
    lines = drawn(plan_tree(Observation(view(*steps)), UNICODE, NOW, width=width), width).splitlines()
    assert len(lines) == len(steps)
    assert all(len(line) <= width and "completed" in line for line in lines)


def test_without_unicode_every_character_is_ascii() -> None:
    steps = (step("g", "running"), step("g.a", "attention"), step("g.b", "skipped"), step("g.c", "undone"))
    text = drawn(plan_tree(Observation(view(*steps)), ASCII, NOW, width=80), 80)
    assert text.isascii()
    assert "`- < c" in text


def test_an_agent_at_work_says_what_it_is_doing_and_a_retry_says_why() -> None:
    agent = AgentView(
        run="r",
        step="a",
        agent="buddy",
        status="running",
        turns=2,
        tool_calls=1,
        usage=Usage(),
        last="turn 2: thinking",
    )
    seen = Observation(
        view(step("a", "running", kind="agent"), step("b", "running")),
        attempts={"b": Attempt(3, "connection refused")},
        agents={"a": agent},
    )
    text = drawn(plan_tree(seen, UNICODE, NOW, width=120), 120)
    assert "buddy, turn 2: thinking" in text
    assert "try 3: connection refused" in text


def test_a_finished_item_shows_its_result() -> None:
    steps = (step("each"), step("each[0]", output={"course": "SEC-1", "at": None}))
    assert "[0]  SEC-1" in drawn(plan_tree(Observation(view(*steps)), UNICODE, NOW, width=80), 80)


def test_many_steps_are_folded_to_the_rows_there_are_and_what_is_busy_stays() -> None:
    items = [step(f"each[{index}]", "running" if index == 700 else "completed") for index in range(1000)]
    steps = (step("done", kind="steps"), step("done.a"), step("each", "running"), *items, step("end", "pending"))
    lines = drawn(plan_tree(Observation(view(*steps)), UNICODE, NOW, width=80, max_rows=10), 80).splitlines()
    assert len(lines) <= 10
    assert any("[700]" in line for line in lines)
    assert any("999 completed, 1 running" in line for line in lines)
    assert any("1 completed" in line for line in lines if "done" in line)


def test_more_busy_steps_than_rows_are_counted() -> None:
    steps = tuple(step(f"s{index}", "running") for index in range(50))
    lines = drawn(plan_tree(Observation(view(*steps)), UNICODE, NOW, width=80, max_rows=10), 80).splitlines()
    assert len(lines) == 10
    assert "and 41 more rows" in lines[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.96, "9 s"),
        (59.9, "59 s"),
        (200, "3m 20s"),
        (7500, "2h 05m"),
        (4 * 86400 + 3 * 3600, "4d 03h"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_what_an_agent_is_saying_stands_below_its_step_its_end_only() -> None:
    said = Speech(turn=2, attempt=1, length=900, tail="word " * 80 + "the end", calls=(WRITING,))
    seen = Observation(view(step("ask", "running", kind="agent"), step("next", "pending")), speech={"ask": said})
    lines = drawn(plan_tree(seen, UNICODE, NOW, width=100), 100).splitlines()
    assert [line.split()[:2] for line in (lines[0], lines[-1])] == [["▶", "ask"], ["·", "next"]]
    assert lines[3].endswith("word the end")
    assert lines[4].strip() == 'mail.send {"to": "ada"'
    assert len(lines) == 6
