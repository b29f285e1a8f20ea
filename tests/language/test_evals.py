"""Every mistake of an `evals.yaml` is told at its place."""

import pytest

from contracts.errors import DefinitionInvalid
from contracts.evals import Evals
from language.evals import load_evals

SCHEMA = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
GOOD = """\
runs: 4
k: 2
fakes: {"bank.*": null}
cases:
  - name: small
    input: {amount: 3}
    people: [{step: sign_off, decision: approve, by: user:alice}]
    expect:
      - ${ status == 'completed' && steps.pay.output.id != '' }
      - ${ effects.exists(e, e.tool == 'bank.transfer') }
"""


def load(text: str) -> Evals:
    return load_evals(text, "evals.yaml", steps=["sign_off", "pay"], tools=["bank.transfer"], schema=SCHEMA)


def test_a_file_without_mistakes_is_read() -> None:
    assert [(case.name, len(case.expect)) for case in load(GOOD).cases] == [("small", 2)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("k: 2", "k: 5", "1:1: pass^5 cannot be told from 4 runs"),
        ("runs: 4", "rums: 4", "1:1: unknown key `rums`"),
        ("bank.*", "bonk.*", "3:9: the process has no tool `bonk.*`"),
        ("amount: 3", "amount: much", "6:12: the process does not take it"),
        ("step: sign_off", "step: sign_of", "7:21: the process has no step `sign_of`"),
        ("approve", "agree", "7:41: `decision` is"),
        ("${ status == 'completed' && steps.pay.output.id != '' }", "completed", "9:9: `completed` is text"),
        ("status ==", "state ==", "9:12: unknown name `state`"),
        ("steps.pay", "steps.play", "9:12: the process has no step `play`"),
        ("e, e.tool", "e, e.tool ==", "10:12: `effects.exists(e, e.tool == == 'bank.transfer')` is no CEL expression"),
    ],
)
def test_a_mistake_is_told_at_its_place(before: str, after: str, said: str) -> None:
    assert GOOD.count(before) == 1
    with pytest.raises(DefinitionInvalid) as told:
        load(GOOD.replace(before, after))
    assert f"evals.yaml:{said}" in str(told.value)
    assert len(told.value.problems) == 1


def test_two_cases_of_one_name_are_told() -> None:
    twice = GOOD + GOOD.partition("cases:\n")[2]
    with pytest.raises(DefinitionInvalid, match="two cases are called `small`"):
        load(twice)
