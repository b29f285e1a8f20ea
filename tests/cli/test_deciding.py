"""What those who decide type: the inbox, claims, delegation, comments, withdrawal."""

from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.cli.conftest import Starter, until_waiting

PROCESS = """
process: NAME
steps:
  sign_off:
    approval:
      title: Sign NAME?
      from: [{stages: [{any_of: [group:finance], count: 2}, {all_of: [user:cfo]}]}]
"""


@pytest.fixture
def name() -> str:
    return f"signing-{uuid4().hex[:8]}"


@pytest_asyncio.fixture
async def run(starter: Starter, running: None, tmp_path: Path, name: str) -> str:
    file = tmp_path / "signing.yaml"
    file.write_text(PROCESS.replace("NAME", name))
    started = await starter("run", str(file), "--by", "sam", "--json")
    assert started.status == 0, started.err
    found: str = started.json["run"]
    await until_waiting(starter, found, "waiting")
    return found


async def test_what_people_say_to_an_approval_is_answered_and_shown(starter: Starter, run: str) -> None:
    for words, outcome in (
        (("claim", run, "--by", "alice"), "sign_off is kept for user:alice until"),
        (("comment", run, "sign_off", "Who ordered this?", "--by", "bob"), "noted; sign_off waits for 2 more"),
        (
            ("delegate", run, "--to", "tom", "--by", "bob", "--comment", "you did"),
            "user:tom decides sign_off in the place",
        ),
        (("approve", run, "--by", "alice", "--comment", "mine"), "counted; sign_off waits for 1 more"),
    ):
        said = await starter(*words)
        assert (said.status, said.out.startswith(outcome)) == (0, True), said
    shown = " ".join((await starter("status", run)).out.split())
    for text in (
        "2 of group:finance, approved by user:alice",
        "1 of user:cfo",
        'user:tom for user:bob: "you did"',
        "approve by user:alice: mine",
        "user:bob: Who ordered this?",
    ):
        assert text in shown
    assert "withdrawn; sign_off waits for 2 more" in (await starter("withdraw", run, "--by", "alice")).out
    released = await starter("release", run, "--by", "alice")
    assert (released.status, "user:alice has not claimed it" in released.err) == (2, True)


async def test_the_inbox_has_what_one_can_decide_now_in_whose_place_and_how(
    starter: Starter, run: str, name: str
) -> None:
    async def inbox(who: str) -> list[str]:
        found = await starter("inbox", "--for", who, "--json")
        return [each["run"] for each in found.json["approvals"] if each["process"] == name]

    assert (await inbox("alice"), await inbox("cfo"), await inbox("tom")) == ([run], [], [])
    await starter("delegate", run, "--to", "tom", "--by", "bob", "--comment", "please")
    assert (await inbox("tom"), await inbox("bob")) == ([run], [])
    told = " ".join((await starter("inbox", "--for", "tom")).out.split())
    assert f"Sign {name}? {run} sign_off" in told
    assert 'user:bob handed it to you: "please"' in told
    assert f"approve {run} sign_off --by user:tom" in told
    await starter("approve", run, "--by", "tom")
    await starter("approve", run, "--by", "alice")
    assert (await inbox("tom"), await inbox("cfo")) == ([], [run])


async def test_an_empty_inbox_says_so(starter: Starter, running: None) -> None:
    assert (await starter("inbox", "--for", "nobody")).out == "nothing waits for user:nobody\n"
