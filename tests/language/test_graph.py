"""The Mermaid flowchart shows every step, need, condition and undo, and stays Mermaid whatever texts say."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.process import Process
from language.graph import mermaid

LINE = re.compile(
    r"""\s*(?:%%.*|flowchart\ TD|end|classDef\ \w+\ [\w:#,-]+|class\ [\w,]+\ \w+
    |\w+\ --> \ \w+|\w+\ -\.->\ \w+|\w+\ -->\ \w+
    |subgraph\ \w+\["[^"\n]*"\]
    |\w+(?:\["[^"\n]*"\]|\(\["[^"\n]*"\]\)|\{\{"[^"\n]*"\}\}|\[\["[^"\n]*"\]\]|\(\("[^"\n]*"\)\)))""",
    re.VERBOSE,
)
PROCESS = Process.model_validate(
    {
        "process": "p",
        "agents": {"x": {"instructions": "i"}},
        "steps": {
            "call": {"tool": "a.b", "undo": {"tool": "a.back"}},
            "think": {"agent": "x", "task": "t", "needs": ["call"], "when": "${ input.ok }"},
            "ask": {"approval": {"title": "Sure?", "from": [{"any_of": ["user:a"]}]}, "needs": ["think"]},
            "group": {"needs": ["ask"], "steps": {"end": {"wait": "1h"}, "next": {"wait": "2h", "needs": ["end"]}}},
            "other": {"process": "q", "for_each": "${ input.list }", "needs": ["group", "call"]},
        },
    }
)


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
    }


def test_conditions_and_repetitions_are_on_the_labels() -> None:
    text = mermaid(PROCESS)
    assert "when $#123; input.ok #125;" in text
    assert "for each $#123; input.list #125;" in text


def test_an_undo_is_dashed() -> None:
    text = mermaid(PROCESS)
    assert 's_call_undo["↶ a.back"]' in text
    assert "s_call -.-> s_call_undo" in text


def test_statuses_colour_their_steps() -> None:
    text = mermaid(PROCESS, {"call": "completed", "think": "completed", "ask": "waiting", "other[0]": "running"})
    assert "class s_call,s_think completed" in text
    assert "class s_ask waiting" in text
    assert "running" not in text
    assert "classDef" not in mermaid(PROCESS)


@settings(deadline=None)
@given(title=st.text(min_size=1), condition=st.text())
def test_no_text_can_break_out_of_its_label(title: str, condition: str) -> None:
    approval = {"title": title, "from": [{"any_of": ["user:a"]}]}
    steps = {"a": {"approval": approval, "when": condition}, "b": {"tool": title, "needs": ["a"]}}
    lines = mermaid(Process.model_validate({"process": "p", "steps": steps})).splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert len(lines) == 5


def test_different_steps_have_different_nodes() -> None:
    wait = {"wait": "1s"}
    steps = {"a": {"steps": {"b": wait}}, "a_b": wait, "a_d_b": wait, "x": {"tool": "t", "undo": {"tool": "u"}}}
    process = Process.model_validate({"process": "p", "steps": {**steps, "x_undo": wait}})
    nodes = re.findall(r"^\s*(?:subgraph )?(s_\w+)[\[({]", mermaid(process), re.MULTILINE)
    assert len(nodes) == len(set(nodes)) == 7
