"""What operators type: repairs with their difference, pauses, notes; and what does not hold."""

from uuid import uuid4

import pytest

from tests.cli.conftest import Starter, until_waiting

pytestmark = pytest.mark.usefixtures("running")

HORSE = '{"item": "horse"}'
UNICORN = '{"item": "unicorn"}'


async def started(starter: Starter, given: str, status: str) -> str:
    answer = await starter("run", "flaky", "--input", given, "--id", str(uuid4()), "--json")
    assert answer.status == 0, answer.err
    run: str = answer.json["run"]
    await until_waiting(starter, run, status)
    return run


async def test_a_dry_run_shows_the_difference_and_does_nothing(starter: Starter) -> None:
    run = await started(starter, UNICORN, "attention")
    words = ("repair", run, "stock", "amend", "--value", HORSE)
    dry = await starter(*words, "--dry-run")
    assert dry.status == 0, dry.err
    assert dry.out.splitlines() == [
        "nothing is done; it would say: stock is tried again with what was amended",
        "  arguments.item",
        "    - unicorn",
        "    + horse",
    ]
    assert (await starter(*words, "--dry-run", "--json")).json["dry_run"] is True
    assert (await starter("status", run, "--json")).json["incidents"][0]["step"] == "stock"
    done = await starter(*words, "--reason", "typo", "--json")
    assert done.json["difference"] == [{"path": "arguments.item", "before": "unicorn", "after": "horse"}]
    view = await until_waiting(starter, run, "waiting")
    assert view["steps"][0]["output"] == 4


async def test_a_run_is_paused_noted_and_goes_on(starter: Starter) -> None:
    run = await started(starter, HORSE, "waiting")
    assert "no step starts" in (await starter("pause", run, "--reason", "stocktaking")).out
    assert (await starter("note", run, "ask Bob first", "--step", "sign_off")).status == 0
    shown = (await starter("status", run)).out
    assert "paused by user:sam since" in shown
    assert ": stocktaking" in shown
    assert "user:sam of sign_off: ask Bob first" in shown
    assert f"resume {run}" in shown
    again = await starter("pause", run)
    assert (again.status, "paused already, by user:sam" in again.err) == (2, True)
    assert (await starter("resume", run)).status == 0
    assert (await starter("status", run, "--json")).json["paused"] is None
    assert (await starter("approve", run, "--by", "alice")).status == 0
    await until_waiting(starter, run, "completed")


async def test_what_does_not_hold_is_refused_with_what_does(starter: Starter) -> None:
    run = await started(starter, UNICORN, "attention")
    cases = {
        ("repair", run, "stock", "amend"): "amend needs --value JSON, or for an agent step --task",
        ("repair", run, "stock", "retry", "--value", "{}"): "--value goes with amend, complete and fallback",
        ("repair", run, "stock", "skip", "--task", "x"): "go with amend, not skip",
        ("repair", run, "stock", "retry", "--no-undo"): "--no-undo goes with abort",
        ("repair", run, "stock", "burn"): "'burn' is not one of",
        ("repair", run, "stock", "amend", "--task", "look"): "stock is no agent step",
        (
            "repair",
            run,
            "stock",
            "amend",
            "--instructions",
            "@nope.txt",
        ): "--instructions @nope.txt: the file cannot be",
        ("repair", run, "stock", "complete", "--value", '"four"'): "this output does not fit the step's schema",
        ("repair", run, "stock", "fallback", "--value", "sign_off"): "no step beside it",
        ("repair", run, "stock", "amend", "--value", "{}", "--dry-run"): '"item" is a required property',
        ("repair", run, "sign_off", "retry"): "sign_off has no incident to repair (it is pending)",
        ("repair", run, "nope", "retry"): "there is no such step",
        ("repair", "nope", "stock", "retry"): "there is no run",
        ("resume", run): "the run is not paused",
        ("note", run, " "): "a note needs a text",
        ("note", run, "x", "--step", "nope"): "there is no step 'nope'",
        ("pause", run, "--by", "not a name"): "'not a name' is no name of a person",
    }
    for arguments, says in cases.items():
        answer = await starter(*arguments)
        assert answer.status == 2, arguments
        assert says in answer.err, (arguments, answer.err)
        assert not answer.out
    assert (await starter("status", run, "--json")).json["incidents"][0]["step"] == "stock"
    await starter("cancel", run)


async def test_a_repair_after_the_end_is_refused(starter: Starter) -> None:
    run = await started(starter, UNICORN, "attention")
    assert (await starter("repair", run, "stock", "abort")).status == 0
    await until_waiting(starter, run, "failed")
    for words in (("repair", run, "stock", "retry"), ("pause", run), ("note", run, "late")):
        answer = await starter(*words)
        assert (answer.status, "has ended" in answer.err) == (2, True), (words, answer.err)
