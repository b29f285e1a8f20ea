"""The Mermaid flowchart shows every step, need, condition and undo, and stays Mermaid whatever texts say."""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.process import Process
from contracts.run import StepStatus, StepView
from language.graph import mermaid

LINE = re.compile(
    r"""\s*(?:%%.*|flowchart\ TD|end|classDef\ \w+\ [\w:#,-]+|class\ [\w,]+\ \w+
    |classDef\ critical\ stroke-width:4px|linkStyle\ [\d,]+\ stroke-width:4px
    |\w+\ -->\ \w+|\w+\ -\.->\ \w+|\w+\ -\.\ (instead|asks|consults|hears|hands\ over)\ \.->\ \w+
    |subgraph\ \w+\["[^"\n]*"\]
    |\w+(?:\["[^"\n]*"\]|\(\["[^"\n]*"\]\)|\{\{"[^"\n]*"\}\}|\[\["[^"\n]*"\]\]|\(\("[^"\n]*"\)\)
    |\[/"[^"\n]*"[/\\]\]|>"[^"\n]*"\]|\[\("[^"\n]*"\)\]))""",
    re.VERBOSE,
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def view(step: str, status: StepStatus, seconds: float = 0, needs: tuple[str, ...] = ()) -> StepView:
    ended = NOON + timedelta(seconds=seconds)
    return StepView(id=step, kind="tool", title=step, status=status, started=NOON, ended=ended, needs=needs)


PROCESS = Process.model_validate(
    {
        "process": "p",
        "on": [{"schedule": "@daily"}],
        "agents": {"x": {"instructions": "i"}},
        "steps": {
            "call": {"tool": "a.b", "undo": {"tool": "a.back"}},
            "think": {"agent": "x", "task": "t", "needs": ["call"], "when": "${ input.ok }"},
            "ask": {"approval": {"title": "Sure?", "from": [{"any_of": ["user:a"]}]}, "needs": ["think"]},
            "group": {"needs": ["ask"], "steps": {"end": {"wait": "1h"}, "next": {"wait": "2h", "needs": ["end"]}}},
            "other": {"process": "q", "for_each": "${ input.list }", "needs": ["group", "call"]},
            "aim": {"goal": "Reach it.", "agents": ["x"], "on_failure": {"fallback": "tell"}},
            "hear": {"event": "a.b"},
            "note": {"state": {"key": "n", "add": 1}, "needs": ["hear", "aim"], "join": "any"},
            "tell": {"emit": "a.c", "repeat": {"until": "${ true }"}},
        },
    }
)


def test_who_may_come_to_work_for_an_agent_is_drawn_once() -> None:
    agents = {
        "lead": {"instructions": "i", "agents": ["a"], "peers": ["b"], "hand_over": ["c"]},
        "a": {"instructions": "i", "debate": {"among": ["b", "lead"]}},
        "b": {"instructions": "i"},
        "c": {"instructions": "i"},
    }
    steps = {"ask": {"agent": "lead", "task": "t"}}
    text = mermaid(Process.model_validate({"process": "p", "agents": agents, "steps": steps}))
    assert re.findall(r"(\w+) -\. (.*) \.-> (\w+)", text) == [
        ("s_ask", "asks", "a_a"),
        ("s_ask", "consults", "a_b"),
        ("s_ask", "hands over", "a_c"),
        ("a_a", "hears", "a_b"),
        ("a_a", "hears", "a_lead"),
        ("a_lead", "asks", "a_a"),
        ("a_lead", "consults", "a_b"),
        ("a_lead", "hands over", "a_c"),
    ]
    assert text.count('(["agent b"])') == 1
    assert all(LINE.fullmatch(line) for line in text.splitlines())


def test_each_kind_has_its_shape_and_each_need_its_arrow() -> None:
    text = mermaid(PROCESS)
    for shape in ('s_call["', 's_think(["', 's_ask{{"', 'subgraph s_group["', 's_group_d_end(("', 's_other[["'):
        assert shape in text
    arrows = set(re.findall(r"(\w+) --> (\w+)", text))
    assert arrows == {
        ("s_call", "s_think"),
        ("s_think", "s_ask"),
        ("s_ask", "s_group"),
        ("s_group_d_end", "s_group_d_next"),
        ("s_group", "s_other"),
        ("s_call", "s_other"),
        ("s_hear", "s_note"),
        ("s_aim", "s_note"),
        *(("on_0", f"s_{first}") for first in ("call", "aim", "hear", "tell")),
    }
    assert "s_aim -. instead .-> s_tell" in text


def test_conditions_and_repetitions_are_on_the_labels() -> None:
    text = mermaid(PROCESS)
    assert "when $#123; input.ok #125;" in text
    assert "for each $#123; input.list #125;" in text
    assert "after any of 2" in text
    assert "until $#123; true #125;" in text


def test_an_undo_is_dashed() -> None:
    text = mermaid(PROCESS)
    assert 's_call_undo["↶ a.back"]' in text
    assert "s_call -.-> s_call_undo" in text


def test_statuses_colour_their_steps() -> None:
    statuses: dict[str, StepStatus] = {
        "call": "completed",
        "think": "completed",
        "ask": "waiting",
        "other[0]": "running",
    }
    text = mermaid(PROCESS, [view(step, status) for step, status in statuses.items()])
    assert "class s_call,s_think completed" in text
    assert "class s_ask waiting" in text
    assert "running" not in text
    assert "classDef completed" not in mermaid(PROCESS)


def test_the_critical_path_of_a_file_is_its_longest_chain() -> None:
    text = mermaid(PROCESS)
    assert "%% critical path: call > think > ask > group > group.end > group.next > other" in text
    assert "class s_call,s_think,s_ask,s_group,s_group_d_end,s_group_d_next,s_other critical" in text


def test_the_critical_path_of_a_run_is_what_took_longest_and_its_arrows_are_bold() -> None:
    steps = {"a": {"wait": "1s"}, "b": {"wait": "1s"}, "c": {"wait": "1s", "needs": ["a", "b"]}}
    process = Process.model_validate({"process": "p", "steps": steps})
    text = mermaid(process, [view("a", "completed", 1), view("b", "completed", 5), view("c", "completed", 1)])
    assert "%% critical path: b > c" in text
    arrows = re.findall(r"(\w+) --> (\w+)", text)
    (bold,) = re.findall(r"linkStyle ([\d,]+) ", text)
    assert [arrows[int(number)] for number in bold.split(",")] == [("s_b", "s_c")]


def test_a_goals_plan_is_drawn_inside_it() -> None:
    seen = [view("aim", "running"), view("aim.x", "completed"), view("aim.y", "running", needs=("aim.x",))]
    text = mermaid(PROCESS, seen)
    assert 'subgraph s_aim["' in text
    assert "s_aim_d_x --> s_aim_d_y" in text


@settings(deadline=None)
@given(title=st.text(min_size=1), condition=st.text())
def test_no_text_can_break_out_of_its_label(title: str, condition: str) -> None:
    approval = {"title": title, "from": [{"any_of": ["user:a"]}]}
    steps = {"a": {"approval": approval, "when": condition}, "b": {"tool": title, "needs": ["a"]}}
    lines = mermaid(Process.model_validate({"process": "p", "steps": steps})).splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert len(lines) == 9


def test_different_steps_have_different_nodes() -> None:
    wait = {"wait": "1s"}
    steps = {"a": {"steps": {"b": wait}}, "a_b": wait, "a_d_b": wait, "x": {"tool": "t", "undo": {"tool": "u"}}}
    process = Process.model_validate({"process": "p", "steps": {**steps, "x_undo": wait}})
    nodes = re.findall(r"^\s*(?:subgraph )?(s_\w+)[\[({]", mermaid(process), re.MULTILINE)
    assert len(nodes) == len(set(nodes)) == 7
