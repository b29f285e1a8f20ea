"""What people may edit of an approval is used by something, or they are not let believe so."""

import pytest

from contracts.errors import DefinitionInvalid
from contracts.run import Definition
from contracts.tools import ToolSpec
from language.load import load_process
from language.readers import are_edits_read

TOOLS = {"a.b": ToolSpec(name="a.b", parameters={"type": "object", "properties": {"x": {}}})}


def process(rest: str, *, edits: str = "", around: str = "") -> Definition:
    """`ok` asks people, in a group `g` with `around`; `rest`: what else the file has."""
    ask = f"ok: {{approval: {{title: t, from: [{{any_of: [user:a]}}]{edits}}}}}"
    return load_process(f"process: p\nsteps:\n  g: {{steps: {{{ask}}}{around}}}\n{rest}", "f.yaml", tools=TOOLS)


@pytest.mark.parametrize(
    ("rest", "around", "is_read"),
    [
        ("", "", False),
        ("output: ${ steps.g.output.ok.edits.amount }", "", True),
        ("output: ${ steps['g'].output['ok'].edits }", "", True),
        ("output: ${ steps.g.output }", "", True),
        ("output: ${ steps.g.output.ok }", "", True),
        ("output: ${ steps.g.output.ok.by + steps.g.output.ok.comment }", "", False),
        ("output: ${ steps.g.status }", "", False),
        ("output: ${ size([steps.g].filter(g, g.output.ok.edits == null)) }", "", True),
        ("output: ${ steps.g.output.map(g, g.ok.edits) }", ", for_each: [1, 2]", True),
        ("output: ${ steps.g.output[0].ok.edits }", ", for_each: [1, 2]", True),
        ("  b: {tool: a.b, with: {x: ['${ steps.g.output.ok.edits }']}}", "", True),
        ("  b: {tool: a.b, success: '${ output.ok.edits == null }'}", "", False),
        ("", ", repeat: {until: '${ output.ok.edits == null }'}", True),
        ("", ", repeat: {until: \"${ output.ok.decision == 'approve' }\"}", False),
    ],
)
def test_edits_are_read_where_an_expression_may_read_them(rest: str, around: str, is_read: bool) -> None:
    made = process(rest, around=around).process
    node = "g[1].ok" if "for_each" in around else "g#2.ok" if "repeat" in around else "g.ok"
    assert are_edits_read(made, node) is is_read


def test_a_file_that_says_what_may_be_edited_and_does_nothing_with_it_is_refused() -> None:
    process("output: ${ steps.g.output.ok.edits }", edits=", edits: {type: object}")
    with pytest.raises(DefinitionInvalid) as refused:
        process("output: ${ steps.g.output.ok.by }", edits=", edits: {type: object}")
    assert [str(problem) for problem in refused.value.problems] == [
        "f.yaml:3:76: nothing reads what people edit of `ok`, so that it would not be done (use steps.ok.output.edits "
        "where it is to hold, or leave `edits` out)"
    ]
