"""No text, however made, gets anything but a definition or its mistakes; what could only fail in a run is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import DefinitionInvalid
from contracts.tools import ToolSpec
from language.load import load_process

ANYTHING = {"type": "object", "properties": {"x": {}}}
TOOLS = {
    "a.b": ToolSpec(name="a.b", parameters=ANYTHING),
    "a.write": ToolSpec(name="a.write", effect="write", check="a.gone", parameters=ANYTHING),
}
WHOLE_FILE = Path(__file__).with_name("whole_file.yaml").read_text()
DEEP = """
import sys
sys.path.insert(0, ".")
from language.load import load_process
load_process("[" * 100_000, "f", tools={})
"""


def mistakes(text: str | bytes) -> list[str]:
    with pytest.raises(DefinitionInvalid) as raised:
        load_process(text, "f.yaml", tools=TOOLS)
    return [str(problem) for problem in raised.value.problems]


def steps(*lines: str) -> str:
    return "\n".join(("process: p", "steps:", *(f"  {line}" for line in lines), ""))


MISTAKES: dict[str, tuple[str | bytes, str]] = {
    "a condition that is text": (
        steps("a: {tool: a.b, when: input.x > 1}"),
        "f.yaml:3:24: `when` is text, not an expression (write ${ input.x > 1 })",
    ),
    "a condition in pieces": (
        steps('a: {tool: a.b, when: "${ input.x } && ${ input.y }"}'),
        "f.yaml:3:24: `when` is text, not an expression (write one whole ${ })",
    ),
    "a list that is text": (
        steps("a: {tool: a.b, for_each: input.xs}"),
        "f.yaml:3:28: `for_each` is text, not an expression (write ${ input.xs })",
    ),
    "a step's field without output": (
        steps("a: {tool: a.b}", "b: {tool: a.b, with: {x: '${ steps.a.total }'}}"),
        "f.yaml:4:32: `steps.a.total`: a step has output and status (write steps.a.output.total)",
    ),
    "a step that a group does not have": (
        steps("g: {steps: {pay: {tool: a.b}}}", "b: {tool: a.b, with: {x: '${ steps.g.output.pya }'}}"),
        "f.yaml:4:32: there is no step `pya` in group `g` (did you mean `pay`?)",
    ),
    "a function that CEL does not have": (
        steps("a: {tool: a.b, with: {x: '${ contain(input.x) }'}}"),
        "f.yaml:3:32: unknown function `contain` (did you mean `contains`?)",
    ),
    "one equals sign": (
        steps("a:", "  tool: a.b", "  when: ${ input.x = 1 }"),
        "f.yaml:5:22: `input.x = 1` is no CEL expression: token recognition error at: '= ' (compare with ==)",
    ),
    "a name in the third line of a text": (
        steps("a:", "  tool: a.b", "  with:", "    x: |", "      one", "      two ${ foo }"),
        "f.yaml:8:16: unknown name `foo` (in scope here: input, run, steps; text goes in quotes inside ${ })",
    ),
    "a name in a folded, quoted text": (
        steps("a:", "  tool: a.b", "  with:", '    x: "say \\"one\\"', '      two ${ foo }"'),
        "f.yaml:7:16: unknown name `foo` (in scope here: input, run, steps; text goes in quotes inside ${ })",
    ),
    "an id that expressions cannot name": (
        steps("sign-off: {tool: a.b}"),
        "f.yaml:3:3: `sign-off` cannot be an id (write letters, digits and _, not starting with a digit)",
    ),
    "a need inside a group": (
        steps("g: {steps: {i: {tool: a.b}}}", "b: {tool: a.b, needs: [g.i]}"),
        "f.yaml:4:26: `g.i` is inside a group, and cannot be needed from outside (need `g`)",
    ),
    "a need that is no list": (
        steps("a: {tool: a.b, needs: b}"),
        "f.yaml:3:25: `needs` is 'b' (write a list, such as [a, b])",
    ),
    "a version that is text": (
        "process: p\nversion: '3'\nsteps: {a: {tool: a.b}}\n",
        "f.yaml:2:10: `version` is '3' (write a whole number)",
    ),
    "a version that is true": (
        "process: p\nversion: true\nsteps: {a: {tool: a.b}}\n",
        "f.yaml:2:10: `version` is True (write a whole number)",
    ),
    "replanning": (
        steps("a: {tool: a.b, on_failure: replan}"),
        "f.yaml:3:30: `on_failure: replan` is for steps that a goal's planner wrote "
        "(write ask, fail, continue or {fallback: step})",
    ),
    "a check that is not there": (
        steps("a: {tool: a.write}"),
        "f.yaml:3:13: `a.write` is checked by the tool `a.gone`, which is not there "
        "(write the tool `a.gone`, or take `check` off `a.write`)",
    ),
    "a tag": (
        "process: !!python/name:os.system p\nsteps: {a: {tool: a.b}}\n",
        "f.yaml:1:10: the tag !!python/name:os.system is not supported (write the value alone; text goes in quotes)",
    ),
    "a merge": (
        steps("a: &x {tool: a.b}", "b: {tool: a.b, <<: *x}"),
        "f.yaml:4:18: `<<` is not supported (write the keys out)",
    ),
    "a tab": (
        "process: p\nsteps:\n\ta: 1\n",
        "f.yaml:3:1: this is not YAML: a tab (indent with spaces)",
    ),
    "a control character": (
        "process: é\nsteps: \x01\n",
        "f.yaml:2:8: the character U+0001 is not allowed (remove it, and save the file as UTF-8)",
    ),
    "half a character": (
        "process: \ud800\n",
        "f.yaml:1:10: the character U+D800 is not allowed (remove it, and save the file as UTF-8)",
    ),
    "Latin-1": (
        "process: p\ndescription: é\n".encode("latin-1"),
        "f.yaml:2:14: byte 0xe9 is not UTF-8 (save the file as UTF-8)",
    ),
    "nesting without end": (
        "a: " + "[" * 60 + "]" * 60,
        "f.yaml:1:53: nested more than 50 levels deep (flatten it)",
    ),
    "aliases that multiply": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
        "f.yaml:1:24: more than 500,000 values (write the values out, or split the process)",
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_it_is_refused_at_its_place_with_the_way_out(text: str | bytes, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_a_step_without_a_kind_still_counts_as_known() -> None:
    assert [line.split(": ")[0] for line in mistakes(steps("a: {with: {}}", "b: {tool: a.b, needs: [a]}"))] == [
        "f.yaml:3:3"
    ]


def test_a_file_without_steps_is_not_told_of_steps_it_never_had() -> None:
    found = mistakes('process: p\nsteps: {}\noutput: "${ steps.zz.output }"\n')
    assert found[-1].endswith("there is no step `zz` (there are none)")


def test_json_may_write_a_character_as_two_escapes() -> None:
    text = '{"process": "p", "description": "\\ud83d\\ude00", "steps": {"a": {"tool": "a.b"}}}'
    assert load_process(text, "f.json", tools=TOOLS).process.description == "😀"


def test_a_number_of_thousands_of_digits_is_text() -> None:
    step = load_process(steps(f"a: {{tool: a.b, with: {{x: {'9' * 5000}}}}}"), "f", tools=TOOLS).process.steps["a"]
    assert step.with_ == {"x": "9" * 5000}


def test_a_hundred_thousand_brackets_do_not_end_the_process() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", DEEP], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "DefinitionInvalid: f:1:51: nested more than 50 levels deep (flatten it)"
    )


def is_answered(text: str | bytes) -> bool:
    try:
        load_process(text, "f", tools=TOOLS)
    except DefinitionInvalid as error:
        return bool(error.problems)
    return True


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=60) | st.binary(max_size=40))
def test_any_text_is_answered(text: str | bytes) -> None:
    assert is_answered(text)


@settings(deadline=None, max_examples=200)
@given(
    at=st.integers(0, len(WHOLE_FILE)),
    removed=st.integers(0, 40),
    put=st.sampled_from(
        ["", " ", "\n", "\t", ":", "- ", "${", "}", "'", "[", "&a ", "*a", "null", "5", "steps.", "true: "]
    ),
)
def test_a_damaged_file_is_answered(at: int, removed: int, put: str) -> None:
    assert is_answered(WHOLE_FILE[:at] + put + WHOLE_FILE[at + removed :])
