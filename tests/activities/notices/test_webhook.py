"""Notices by webhook, to a real HTTP endpoint that checks their signatures."""

import base64
import hashlib
import hmac
import json
import threading
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook

from contracts.errors import SettingsInvalid
from tests.activities.notices.desk import SECRET, Desk, incident, notice
from tests.service import Answer, Request, Service


def hook(service: Service, **more: Any) -> dict[str, Any]:
    return {"name": "hook", "kind": "webhook", "url": f"{service.base}/in?key=1", "secret": "env:HOOK", **more}


def verified(request: Request) -> Any:
    return Webhook(SECRET).verify(request.raw, dict(request.headers))


async def test_a_notice_is_posted_once_with_a_signature_that_holds(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    for _ in range(2):
        await desk.send(notice("hook"))
    (request,) = service.requests
    said = verified(request)
    assert (request.method, request.path) == ("POST", "/in?key=1")
    assert (said["type"], said["timestamp"]) == ("approval.opened", "2026-12-20T09:30:00Z")
    about = said["data"]
    assert (about["run"], about["step"], about["title"]) == ("invoice-7", "sign_off", "Pay 1840 to acme?")
    assert about["to"] == ["user:alice", "user:bob"]
    assert about["question"]["show"]["invoice"]["amount"] == 1840
    assert await desk.states() == {"hook:": "delivered"}


async def test_the_signature_is_that_of_the_specification(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    await desk.send(notice("hook"))
    (request,) = service.requests
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.raw
    made = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(made).decode()}"


async def test_what_fails_is_tried_again_under_the_same_id(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    answers = [Answer({"said": "busy"}, status=503), Answer({}, status=500), Answer(b"", status=204)]
    service.answer = lambda request: answers.pop(0)
    for _ in range(2):
        error = await desk.failed(notice("hook"))
        assert (error.type, error.non_retryable) == ("NoticeUndelivered", False)
        assert await desk.states() == {"hook:": "trying"}
    await desk.send(notice("hook"))
    assert {request.headers["webhook-id"] for request in service.requests} == {notice("hook").id_for("")}
    assert len(service.requests) == 3
    (letter,) = await desk.notifier.letters()
    assert (letter.state, letter.attempts, letter.error) == ("delivered", 3, "")


async def test_another_event_channel_or_execution_is_another_message(desk: Desk, service: Service) -> None:
    desk.open(hook(service), hook(service, name="other"))
    for each in (notice("hook"), notice("hook", number=5), notice("hook", execution="e2"), notice("other")):
        await desk.send(each)
    assert len({request.headers["webhook-id"] for request in service.requests}) == 4


async def test_retry_after_says_when(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    service.answer = lambda request: Answer({}, status=429, headers={"retry-after": "120"})
    error = await desk.failed(notice("hook"))
    assert (error.non_retryable, error.next_retry_delay) == (False, timedelta(seconds=120))


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_what_the_receiver_refuses_for_good_is_a_dead_letter_and_never_tried_again(
    desk: Desk, service: Service, status: int
) -> None:
    desk.open(hook(service))
    service.answer = lambda request: Answer({"said": "no"}, status=status)
    for _ in range(2):
        error = await desk.failed(notice("hook"))
        assert (error.non_retryable, str(status) in error.message) == (True, True)
    assert len(service.requests) == 1
    assert await desk.states() == {"hook:": "dead"}


async def test_redirects_are_not_followed(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    service.answer = lambda request: Answer({}, status=307, headers={"location": f"{service.base}/there?token=hush"})
    error = await desk.failed(notice("hook"))
    assert error.non_retryable
    assert "not followed" in error.message
    assert "hush" not in error.message
    assert len(service.requests) == 1


async def test_a_receiver_that_is_not_there_or_hangs_up_is_tried_again(desk: Desk, service: Service) -> None:
    desk.open(hook(service, url="http://127.0.0.1:9/in"))
    error = await desk.failed(notice("hook"))
    assert (error.non_retryable, "notices.hook.url: no answer" in error.message) == (False, True)
    desk.open(hook(service))
    service.answer = lambda request: Answer({"promised": "more"}, cut=100)
    assert not (await desk.failed(notice("hook"))).non_retryable


async def test_a_receiver_that_hangs_is_given_up_and_tried_again(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.notices.http.TIMEOUT", httpx2.Timeout(60, read=0.2))
    desk.open(hook(service))
    let_go = threading.Event()
    service.answer = lambda request: Answer({}, until=let_go)
    error = await desk.failed(notice("hook"))
    let_go.set()
    assert (error.non_retryable, "ReadTimeout" in error.message) == (False, True)


async def test_little_is_read_of_a_long_answer(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    service.answer = lambda request: Answer(b"x" * 5_000_000, status=400)
    assert len((await desk.failed(notice("hook"))).message) < 1_000


async def test_the_last_attempt_makes_a_dead_letter_which_can_be_sent_again(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    service.answer = lambda request: Answer({}, status=503)
    await desk.failed(notice("hook", last=True))
    (letter,) = await desk.notifier.letters(dead=True)
    service.answer = lambda request: Answer(json.dumps({}).encode(), status=200)
    await desk.notifier.resend(letter.id)
    assert await desk.states() == {"hook:": "delivered"}
    assert await desk.notifier.letters(dead=True) == []
    assert verified(service.requests[-1])["data"]["run"] == "invoice-7"


async def test_the_secret_and_an_address_by_reference_stay_secret(desk: Desk, service: Service) -> None:
    environment = {"HOOK": SECRET, "WHERE": f"{service.base}/hush-hush"}
    desk.open(hook(service, url="env:WHERE"), environment=environment)
    service.answer = lambda request: Answer({}, status=500)
    error = await desk.failed(notice("hook"))
    (letter,) = await desk.notifier.letters()
    assert service.requests[0].path == "/hush-hush"
    for text in (error.message, letter.error):
        assert "hush" not in text
        assert SECRET not in text


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64 at all!"])
async def test_a_secret_that_is_none_is_refused_at_once(desk: Desk, service: Service, secret: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"notices\.hook\.secret") as caught:
        desk.open(hook(service), environment={"HOOK": secret, "OTHER": "x"})
    assert "not base64" not in str(caught.value)


async def test_a_channel_that_is_gone_leaves_a_dead_letter(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    error = await desk.failed(notice("former"))
    assert (error.non_retryable, "no channel 'former'" in error.message) == (True, True)
    assert await desk.states() == {"former:": "dead"}


async def test_an_incident_is_told_with_what_can_be_done(desk: Desk, service: Service) -> None:
    desk.open(hook(service))
    await desk.send(incident("hook"))
    said = verified(service.requests[0])
    assert (said["type"], said["data"]["incident"]["error"]["message"]) == ("step.attention", "the bank says no")
