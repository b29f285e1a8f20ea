"""What those who decide type: the inbox, claims, delegation, comments, withdrawal."""

from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.business import eventually
from tests.cli.conftest import Starter, until_waiting

PROCESS = """
process: NAME
steps:
  sign_off:
    approval:
      title: Sign NAME?
      from: [{stages: [{any_of: [group:NAME], count: 2}, {all_of: [user:cfo.NAME]}]}]
"""
PEOPLE = """
users: {alice.NAME: {}, bob.NAME: {}, tom.NAME: {}, cfo.NAME: {}}
groups: {NAME: [alice.NAME, bob.NAME]}
roles: {operator: [tom.NAME]}
"""


pytestmark = pytest.mark.usefixtures("own_people")


@pytest.fixture
def name() -> str:
    return f"signing-{uuid4().hex[:8]}"


@pytest.fixture
def own_people(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom no other test asks, so that their inbox asks no run of another test. Before the settings are read."""
    file = tmp_path / "people.yaml"
    file.write_text(PEOPLE.replace("NAME", name))
    monkeypatch.setenv("SUREFOOT_PEOPLE", str(file))


@pytest_asyncio.fixture
async def run(starter: Starter, running: None, tmp_path: Path, name: str) -> str:
    file = tmp_path / "signing.yaml"
    file.write_text(PROCESS.replace("NAME", name))
    started = await starter("run", str(file), "--by", "sam", "--json")
    assert started.status == 0, started.err
    found: str = started.json["run"]
    await until_waiting(starter, found, "waiting")
    return found


async def test_what_people_say_to_an_approval_is_answered_and_shown(starter: Starter, run: str, name: str) -> None:
    alice, bob, tom = (f"{short}.{name}" for short in ("alice", "bob", "tom"))
    for words, outcome in (
        (("claim", run, "--by", alice), f"sign_off is kept for user:{alice} until"),
        (("comment", run, "sign_off", "Who ordered this?", "--by", bob), "noted; sign_off waits for 2 more"),
        (
            ("delegate", run, "--to", tom, "--by", bob, "--comment", "you did"),
            f"user:{tom} decides sign_off in the place",
        ),
        (("approve", run, "--by", alice, "--comment", "mine"), "counted; sign_off waits for 1 more"),
    ):
        said = await starter(*words)
        assert (said.status, said.out.startswith(outcome)) == (0, True), said
    shown = " ".join((await starter("status", run)).out.split())
    for text in (
        f"2 of group:{name}, approved by user:{alice}",
        f"1 of user:cfo.{name}",
        f'user:{tom} for user:{bob}: "you did"',
        f"approve by user:{alice}: mine",
        f"user:{bob}: Who ordered this?",
    ):
        assert text in shown
    assert "withdrawn; sign_off waits for 2 more" in (await starter("withdraw", run, "--by", alice)).out
    released = await starter("release", run, "--by", alice)
    assert (released.status, f"user:{alice} has not claimed it" in released.err) == (2, True)


async def test_an_operator_lifts_a_claim_with_a_reason(starter: Starter, run: str, name: str) -> None:
    await starter("claim", run, "--by", f"alice.{name}")
    unexplained = await starter("release", run, "--by", f"tom.{name}")
    assert (unexplained.status, "can lift that with a reason" in unexplained.err) == (2, True)
    lifted = await starter("release", run, "--by", f"tom.{name}", "--comment", "she is ill")
    assert lifted.out == f"the claim of user:alice.{name} is lifted; sign_off waits for 2 more of group:{name}\n"


async def test_the_inbox_has_what_one_can_decide_now_in_whose_place_and_how(
    starter: Starter, run: str, name: str
) -> None:
    async def inbox(who: str) -> list[str]:
        found = await starter("inbox", "--for", f"{who}.{name}", "--json")
        return [each["run"] for each in found.json["approvals"]]

    async def has(who: str) -> None:
        """Once Temporal's index knows of it."""
        await eventually(lambda: inbox(who), lambda found: found == [run])

    await has("alice")
    assert (await inbox("cfo"), await inbox("tom")) == ([], [])
    await starter("delegate", run, "--to", f"tom.{name}", "--by", f"bob.{name}", "--comment", "please")
    await starter("comment", run, "sign_off", "Who ordered this?", "--by", f"bob.{name}")
    await has("tom")
    assert await inbox("bob") == []
    told = " ".join((await starter("inbox", "--for", f"tom.{name}")).out.split())
    assert f"Sign {name}? {run} sign_off" in told
    assert f'user:bob.{name} handed it to you: "please"' in told
    assert f"comments: user:bob.{name}: Who ordered this?" in told
    assert f"approve {run} sign_off --by user:tom.{name}" in told
    await starter("approve", run, "--by", f"tom.{name}")
    await starter("approve", run, "--by", f"alice.{name}")
    await has("cfo")
    assert await inbox("tom") == []


async def test_an_empty_inbox_says_so(starter: Starter, running: None) -> None:
    assert (await starter("inbox", "--for", "nobody")).out == "nothing waits for user:nobody\n"
