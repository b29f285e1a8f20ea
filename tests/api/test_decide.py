"""The page by a link, over real HTTP, for real runs: it shows what is decided on, and the decision counts once."""

import asyncio
import hashlib
import html
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from temporalio.client import Client

from api.pages import HEADERS
from contracts.people import Deputy
from tests.api.conftest import Desk
from tests.api.processes import INVOICE, STAGED, TRANSFER
from tests.workflows.office import Run, open_office

SHOWN = {
    "risk": "low",
    "reasons": ["matches order 7", "known supplier"],
    "lines": [{"item": "desk", "price": 900.0}] * 2,
}


async def invoice(desk: Desk, **more: Any) -> Run:
    given = {"amount": 1840, "to": "Acme", "show": SHOWN, **more}
    return await desk.office.start(INVOICE, given, started_by="user:sam")


def text(answer: httpx2.Response) -> str:
    """What a page says, as one line."""
    words = re.sub(r"<style>.*?</style>|<[^>]+>", " ", answer.text, flags=re.S)
    return " ".join(html.unescape(words).split())


async def votes(run: Run) -> list[tuple[str, str]]:
    view = await run.view()
    return [(vote.by, vote.decision) for waiting in view.waiting for vote in waiting.votes]


async def test_it_shows_what_is_decided_on_who_asks_and_who_one_is(desk: Desk) -> None:
    run = await invoice(desk)
    await run.waiting("sign_off")
    await run.decide("sign_off", "approve", "user:alice", comment="checked")
    answer = await desk.get(await desk.link(run, "sign_off", "bob"))
    assert answer.status_code == 200
    said = text(answer)
    for words in (
        "Pay 1840 to Acme?",
        f"Run {run.id} / sign_off",
        "details risk low",
        "matches order 7",
        "item price desk 900 desk 900",
        "Started by user:sam",
        "group:finance; 1 more needed",
        "approve user:alice",
        "checked",
        "You decide as user:bob",
    ):
        assert words in said, words
    assert f"{(await desk.asked(run, 'sign_off')).hash}" in answer.text


async def test_the_exact_thing_has_the_hash_that_is_shown(desk: Desk) -> None:
    for process, step in ((INVOICE, "sign_off"), (TRANSFER, "pay")):
        run = await desk.office.start(
            process, {"amount": 1.5, "to": "Acmé", "show": SHOWN, "what": "taxes"}, started_by="user:sam"
        )
        link = await desk.link(run, step, "bob")
        exact = await desk.get(f"{link}?exact")
        assert exact.headers["content-type"] == "application/json"
        digest = hashlib.sha256(exact.content).hexdigest()
        assert digest == (await desk.asked(run, step)).hash
        assert f'canonical JSON</a>: <span class="code">{digest}' in (await desk.get(link)).text


async def test_a_decision_counts_once_and_the_link_then_shows_what_became_of_it(desk: Desk) -> None:
    run = await invoice(desk)
    bob, alice = await desk.link(run, "sign_off", "bob"), await desk.link(run, "sign_off", "alice")
    answer = await desk.post(bob, "approve")
    assert [each.status_code for each in (*answer.history, answer)] == [303, 200]
    assert str(answer.url) == bob
    assert "Your decision counts Counted; sign_off waits for 1 more of group:finance." in text(answer)
    assert "<form" not in answer.text

    again = await desk.post(bob, "reject", "changed my mind")
    assert text(again) == text(answer) == text(await desk.get(bob))
    assert await votes(run) == [("user:bob", "approve")]

    answer = await desk.post(alice, "approve", "fine")
    assert "sign_off is approved by user:alice" in text(answer)
    result = await run.handle.result()
    assert (result.output["decision"], result.output["by"], result.output["comment"]) == (
        "approve",
        "user:alice",
        "fine",
    )
    assert "sign_off is approved by user:alice: fine. The run is completed." in text(await desk.get(bob))


async def test_looking_decides_nothing_however_often_and_by_whichever_method(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    ends = ("", "?exact", "?decision=approve", "?decision=reject&comment=no", "#approve")
    looks = [(method, end) for method in ("GET", "HEAD") for end in ends]
    for _ in range(10):
        found = await asyncio.gather(*(desk.http.request(method, f"{link}{end}") for method, end in looks))
        assert {answer.status_code for answer in found} == {200}
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await desk.http.request(method, link, data={"decision": "approve"} if method == "PUT" else None)
        assert answer.status_code == 405
    assert await votes(run) == []
    assert "You decide as" in text(await desk.get(link))


async def test_of_many_decisions_at_once_by_one_link_one_counts(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    answers = await asyncio.gather(*(desk.post(link, ("approve", "reject")[n % 2], f"try {n}") for n in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    view = await run.view()
    if view.waiting:
        assert len(await votes(run)) == 1
        await run.decide("sign_off", "reject", "user:alice", comment="over")
    else:
        await run.until(lambda view: view.status == "failed")
    assert len({text(answer) for answer in answers}) == 1


async def test_a_rejection_needs_a_reason_and_what_was_typed_is_kept(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    answer = await desk.post(link, "reject", "  ")
    assert answer.status_code == 422
    assert "Nothing was decided A rejection needs a reason: write it as the comment." in text(answer)
    answer = await desk.post(link, "approve", "</textarea><script>" * 400)
    assert answer.status_code == 422
    assert "</textarea><script>" not in answer.text
    assert "&lt;/textarea&gt;&lt;script&gt;" in answer.text
    for nothing in ("", "approved", "withdraw"):
        assert "Press Approve or Reject." in text(await desk.post(link, nothing, "why"))
    answer = await desk.post(link, "reject", "too dear")
    assert "rejected by user:bob" in text(answer)
    await run.until(lambda view: view.status == "failed")


async def test_arguments_can_be_changed_and_are_held_to_the_tools_schema(desk: Desk) -> None:
    run = await desk.office.start(TRANSFER, {"what": "1000 EUR"})
    link = await desk.link(run, "pay", "bob")
    page = await desk.get(link)
    offered = html.unescape(re.findall(r'<textarea id="edits"[^>]*>\n(.*?)</textarea>', page.text, re.S)[0])
    assert json.loads(offered) == {"what": "1000 EUR"}
    for wrong, said in (
        ("{", "are no JSON"),
        ('{"what": NaN}', "are no JSON"),
        ('{"what": 7}', "what"),
        ('{"fee": 1}', "fee"),
        ("[]", "pay"),
    ):
        answer = await desk.post(link, "approve", "less", edits=wrong)
        assert answer.status_code in (409, 422), wrong
        assert "Nothing was decided" in text(answer)
        assert said in text(answer)
        assert html.escape(wrong) in answer.text.replace("&#34;", "&quot;"), "what was typed is kept"
    answer = await desk.post(link, "approve", "less", edits=json.dumps({"what": "900 EUR"}))
    assert "Your decision counts" in text(answer)
    await run.handle.result()
    assert desk.office.ledger == [("do", "pay", "900 EUR")]


async def test_arguments_that_are_as_they_were_are_no_edit(desk: Desk) -> None:
    for typed in ('{\r\n  "what": "1000 EUR"\r\n}', '{"what":"1000 EUR"}', "", " \n"):
        run = await desk.office.start(TRANSFER, {"what": "1000 EUR"})
        await desk.post(await desk.link(run, "pay", "bob"), "approve", edits=typed)
        await run.handle.result()
        assert (await run.view()).waiting == ()
    assert [what for _, _, what in desk.office.ledger] == ["1000 EUR"] * 4


async def test_a_rejection_does_not_edit(desk: Desk) -> None:
    run = await desk.office.start(TRANSFER, {"what": "1000 EUR"})
    link = await desk.link(run, "pay", "bob")
    assert "rejected by user:bob" in text(await desk.post(link, "reject", "no", edits='{"what": "900 EUR"}'))
    await run.until(lambda view: view.status == "failed")


async def test_a_link_to_what_has_changed_since_shows_that_and_decides_nothing(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    await run.decide("sign_off", "approve", "user:alice", edits={"amount": 1})
    for answer in (await desk.get(link), await desk.post(link, "approve")):
        assert answer.status_code in (409, 410)
        assert "What is decided on has changed" in text(answer)
        assert f"starter.py link {run.id} sign_off --for user:bob" in text(answer)
        assert "<form" not in answer.text
    assert await votes(run) == [("user:alice", "approve")]
    fresh = await desk.link(run, "sign_off", "bob")
    assert "approved by user:bob" in text(await desk.post(fresh, "approve"))


async def test_a_link_that_has_expired_decides_nothing_and_shows_no_content(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob", datetime.now(UTC) - timedelta(seconds=1))
    for answer in (await desk.get(link), await desk.post(link, "approve"), await desk.get(f"{link}?exact")):
        assert answer.status_code in (409, 410)
        assert "This link has expired" in text(answer)
        assert "It is open, and waits for 2 more of group:finance" in text(answer)
        assert "matches order" not in answer.text
    assert await votes(run) == []


async def test_who_is_not_asked_now_sees_for_whom_it_waits_and_cannot_decide(desk: Desk) -> None:
    run = await desk.office.start(STAGED)
    link = await desk.link(run, "sign_off", "cfo")
    for answer in (await desk.get(link), await desk.post(link, "approve")):
        assert "Your decision does not count now It waits for group:controllers (user:carol)." in text(answer)
        assert "<form" not in answer.text
    await run.decide("sign_off", "approve", "user:carol")
    assert "You decide as user:cfo" in text(await desk.get(link))
    assert "approved by user:cfo" in text(await desk.post(link, "approve"))


async def test_who_acts_for_whom_is_said(desk: Desk) -> None:
    desk.office.deputies = {"user:carol": (Deputy(user="user:dan"),)}
    run = await desk.office.start(STAGED)
    assert "Deputy user:dan for user:carol" in text(await desk.get(await desk.link(run, "sign_off", "dan")))


async def test_a_second_link_of_somebody_who_has_voted_says_so(desk: Desk) -> None:
    run = await invoice(desk)
    first, second = await desk.link(run, "sign_off", "bob"), await desk.link(run, "sign_off", "bob")
    await desk.post(first, "approve", "fine")
    for answer in (await desk.get(second), await desk.post(second, "approve")):
        assert "You have decided already approve by user:bob," in text(answer)
    assert await votes(run) == [("user:bob", "approve")]


async def test_what_others_decided_and_runs_that_ended_are_told(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    await run.decide("sign_off", "reject", "user:alice", comment="no order")
    await run.until(lambda view: view.status == "failed")
    for answer in (await desk.get(link), await desk.post(link, "approve")):
        assert answer.status_code in (409, 410)
        assert "This is decided already" in text(answer)
        assert "rejected by user:alice: no order" in text(answer)

    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    await run.handle.terminate()
    for answer in (await desk.get(link), await desk.post(link, "approve")):
        assert answer.status_code in (409, 410)
        assert "This run has ended" in text(answer)
        assert "The run is cancelled." in text(answer)


async def test_forged_links_say_nothing(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    forged = [
        link[:-1],
        link + "A",
        link[:-9] + "AAAAAAAAA",
        f"{desk.links.base}/decide/x",
        f"{desk.links.base}/decide/",
    ]
    forged += [f"{desk.links.base}/decide/%00%ff", f"{desk.links.base}/", f"{link}/exact"]
    said = {(answer.status_code, text(answer)) for answer in [await desk.get(each) for each in forged]}
    said |= {(answer.status_code, text(answer)) for answer in [await desk.post(each, "approve") for each in forged[:4]]}
    assert len(said) == 1, said
    assert said.pop()[0] == 404
    gone = desk.links.link_for("no-such-run", "sign_off", "ab" * 32, "user:bob")
    answer = await desk.get(gone)
    assert (answer.status_code, "This run is gone" in text(answer)) == (410, True)


async def test_every_answer_keeps_to_itself(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    for answer in (
        await desk.get(link),
        await desk.get(f"{link}?exact"),
        await desk.get(link[:-3]),
        await desk.post(link, "reject"),
        *(await desk.post(link, "approve")).history,
    ):
        assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=lambda headers: next(iter(headers.values())),
)
async def test_a_form_on_another_site_decides_nothing(desk: Desk, headers: dict[str, str]) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    answer = await desk.http.post(link, data={"decision": "approve"}, headers=headers)
    assert (answer.status_code, "another site" in text(answer)) == (403, True)
    answer = await desk.http.get(link, headers={"Host": "rebound.example"})
    assert answer.status_code == 400
    assert await votes(run) == []


async def test_forms_no_browser_sends_decide_nothing(desk: Desk) -> None:
    run = await invoice(desk)
    link = await desk.link(run, "sign_off", "bob")
    for body, status in ((b"x" * 1_100_000, 413), (b"&".join([b"a=1"] * 99), 413), (b"\xff\xfe=\x00", 422), (b"", 422)):
        assert (await desk.http.post(link, content=body)).status_code == status
    answer = await desk.http.post(link, json={"decision": "approve"})
    assert answer.status_code == 422
    assert await votes(run) == []


SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{7*7}}${7*7}"


async def test_what_is_shown_is_text_whatever_it_is(desk: Desk) -> None:
    show = {
        SCRIPT: SCRIPT,
        "rows": [{SCRIPT: SCRIPT, "b": 1}] * 2,
        "list": [SCRIPT],
        "turned": "pay \u202e0001 to\x00me",
    }
    run = await invoice(desk, to=SCRIPT, show=show)
    await run.waiting("sign_off")
    await run.decide("sign_off", "approve", "user:alice", comment=SCRIPT)
    answer = await desk.get(await desk.link(run, "sign_off", "bob"))
    assert answer.text.count("<script") == 0
    assert answer.text.count("<img") == 0
    assert answer.text.count("&lt;script&gt;") > 6
    assert "{{7*7}}" in answer.text
    assert "\u202e" not in answer.text
    assert "⟨U+202E⟩0001" in answer.text


async def test_however_much_is_shown_the_page_stays_one_a_person_can_read(desk: Desk) -> None:
    show = {"long": "word " * 100_000, "many": [{"n": n, "of": "x"} for n in range(20_000)], "deep": nested(80)}
    run = await invoice(desk, show=show)
    link = await desk.link(run, "sign_off", "bob")
    answer = await desk.get(link)
    assert answer.status_code == 200
    assert len(answer.text) < 150_000
    for words in ("496000 more characters", "19950 more; the exact JSON below has them", "The first part of it"):
        assert words in text(answer)
    exact = await desk.get(f"{link}?exact")
    assert json.loads(exact.content)["show"] == {"details": show}
    assert hashlib.sha256(exact.content).hexdigest() == (await desk.asked(run, "sign_off")).hash
    assert "Your decision counts" in text(await desk.post(link, "approve"))


def nested(depth: int) -> Any:
    return {"inner": nested(depth - 1)} if depth else "core"


@pytest.mark.slow
async def test_without_a_worker_nothing_is_decided_and_the_page_says_so(client: Client, desk: Desk) -> None:
    async with open_office(client) as away:
        run = await away.start(INVOICE, {"amount": 1, "to": "Acme", "show": {}}, started_by="user:sam")
        view = await run.waiting("sign_off")
        link = desk.links.link_for(run.id, "sign_off", view.waiting[0].hash or "", "user:bob")
    for answer in (await desk.get(link), await desk.post(link, "approve")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "20")
        assert "Nothing was decided, and nothing is lost" in text(answer)
    async with open_office(client, queue=away.queue):
        assert "You decide as user:bob" in text(await desk.get(link))
        assert await votes(run) == []


async def test_its_health_is_that_of_the_server_behind_it(desk: Desk) -> None:
    answer = await desk.http.get(f"{desk.links.base}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"temporal": "ok"})
