"""Notices in the JSON of Slack, and the templates that say them."""

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SettingsInvalid
from tests.activities.notices.desk import Desk, asked, incident, notice
from tests.service import Service


def slack(service: Service, **more: Any) -> dict[str, Any]:
    return {"name": "chat", "kind": "slack", "url": f"{service.base}/services/T0/B0/hush", **more}


async def test_a_notice_is_blocks_that_mention_the_people_concerned(desk: Desk, service: Service) -> None:
    desk.open(slack(service), link=lambda sent, user: "https://decide.example/secret")
    for _ in range(2):
        await desk.send(notice("chat"))
    (request,) = service.requests
    assert request.body["text"] == "Please decide: Pay 1840 to acme?"
    section, actions = request.body["blocks"]
    text = section["text"]["text"]
    assert text.startswith("*Please decide: Pay 1840 to acme?*\n<@U0ALICE> run `invoice-7`, step `sign_off`")
    assert "acme &lt;GmbH&gt; &amp; Co" in text
    assert "`starter.py approve invoice-7 sign_off`" in text
    assert actions["elements"][0]["url"] == "https://temporal.example/invoice-7"
    assert "decide.example" not in str(request.body)


async def test_a_message_says_what_others_said_in_short_and_what_it_was_changed_to(
    desk: Desk, service: Service
) -> None:
    desk.open(slack(service))
    await desk.send(notice("chat", kind="approval.reminded", question=asked()))
    text = service.requests[0].body["blocks"][0]["text"]["text"]
    for said in (
        "user:carol said *approve*: fits the order",
        "user:alice, 2026-12-20 09:30 UTC: Known?",
        '"amount": 1700',
    ):
        assert said in text
    assert "<!channel>" not in text
    assert "starter.py approve" in text
    assert len(text) < 1_000


async def test_nobody_is_called_by_what_is_shown(desk: Desk, service: Service) -> None:
    desk.open(slack(service))
    await desk.send(notice("chat", title="<!channel> pay"))
    assert "<!channel>" not in str(service.requests[0].body["blocks"])


async def test_a_long_text_is_cut_to_what_slack_takes(desk: Desk, service: Service) -> None:
    desk.open(slack(service))
    sent = incident("chat")
    assert sent.incident is not None
    error = sent.incident.error.model_copy(update={"message": "no " * 5_000})
    await desk.send(sent.model_copy(update={"incident": sent.incident.model_copy(update={"error": error})}))
    text = service.requests[0].body["blocks"][0]["text"]["text"]
    assert len(text) <= 3_000
    assert text.endswith("…```")


async def test_templates_of_a_folder_go_first_those_of_one_event_before_all(
    desk: Desk, service: Service, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "subject.txt").write_text("ACME: {{ notice.title }}")
    (folder / "approval.opened.slack.txt").write_text("{{ subject }} — {{ notice.question.who[0] }}")
    desk.open(slack(service), templates=folder)
    await desk.send(notice("chat"))
    await desk.send(notice("chat", kind="approval.reminded", number=5))
    first, second = [request.body["blocks"][0]["text"]["text"] for request in service.requests]
    assert first == "ACME: Pay 1840 to acme? — group:finance"
    assert second.startswith("*ACME: Pay 1840 to acme?*")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("subject.txt", "{{ notice.title", r"subject\.txt:1: "),
        ("mails.txt", "", r"no such template; there are subject\.txt, mail\.txt"),
    ],
)
def test_a_template_that_is_none_is_refused_at_once(
    desk: Desk, service: Service, tmp_path: Path, name: str, text: str, said: str
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / name).write_text(text)
    with pytest.raises(SettingsInvalid, match=said):
        desk.open(slack(service), templates=folder)


@pytest.mark.parametrize("text", ["{{ notice.nothing }}", "{{ notice.__class__.__mro__ }}", "{{ 1 / 0 }}"])
async def test_a_template_that_does_not_work_leaves_a_dead_letter(
    desk: Desk, service: Service, tmp_path: Path, text: str
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "slack.txt").write_text(text)
    desk.open(slack(service), templates=folder)
    error = await desk.failed(notice("chat"))
    assert (error.non_retryable, "mend it in notice_templates" in error.message) == (True, True)
    assert await desk.states() == {"chat:": "dead"}


async def test_the_address_of_a_chat_is_a_secret(desk: Desk, service: Service) -> None:
    desk.open(slack(service, url="http://127.0.0.1:9/services/hush"))
    assert "hush" not in (await desk.failed(notice("chat"))).message
