"""A person opens a link in a real headless Chromium, decides, and finds it used when opening it again."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import Client

from api.app import make_app
from api.serving import serving
from runtime.links import Links
from runtime.settings import LinkSettings, Settings
from tests.browser.test_temporal_web import opened_browser, shown
from tests.workflows.office import Office, Run, open_office

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of the page, which docs/images/decide.png is one of."""

PROCESS = """
process: invoice-approval
description: Check, approve and pay a supplier invoice
input: {type: object}
steps:
  sign_off:
    approval:
      title: Pay ${ input.amount } EUR to ${ input.supplier }?
      show:
        supplier: ${ input.supplier }
        amount: ${ input.amount }
        risk: medium
        reasons: ${ input.reasons }
        lines: ${ input.lines }
      from: [{any_of: ["group:finance"], count: 2}]
      not_by: [starter]
      expires: 3d
  pay: {tool: do.work, needs: [sign_off], with: {what: paid}}
"""
INPUT = {
    "amount": 61_400,
    "supplier": "Nordwind GmbH",
    "reasons": ["No invoice of this supplier was paid before.", "The amount is the total of order PO-2291."],
    "lines": [
        {"item": "Standing desk", "count": 40, "price": 1185},
        {"item": "Delivery and set-up", "count": 1, "price": 14_000},
    ],
}


@asynccontextmanager
async def asked(client: Client, home: Path, name: str) -> AsyncIterator[tuple[Office, Run, str]]:
    """An invoice that waits for bob after alice agreed, and bob's link to a server that serves it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        links = Links.open(Settings(home=home, links=LinkSettings(url=url)), {})
        async with open_office(client) as office, serving(make_app(client, links), listening):
            run = await office.start(PROCESS, INPUT, run=name, started_by="user:sam")
            await run.waiting("sign_off")
            await run.decide("sign_off", "approve", "user:alice", comment="Matches the order; purchasing confirmed it.")
            waiting = (await run.view()).waiting[0]
            link = links.link_for(run.id, "sign_off", waiting.hash or "", "user:bob", waiting.until)
            yield office, run, link


async def picture(page: "Page", name: str) -> None:
    if PICTURES is not None:
        await page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


async def test_a_person_decides_by_a_link_and_finds_it_used_afterwards(client: Client, tmp_path: Path) -> None:
    async with asked(client, tmp_path, "invoice-approval-I-4711") as (office, run, link), opened_browser() as page:
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for name, size, scheme in LOOKS:
            await page.set_viewport_size(size)
            await page.emulate_media(color_scheme=scheme)
            await page.goto(link)
            await shown(page, "You decide as user:bob")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
            await picture(page, f"decide-{name}")

        await page.get_by_role("button", name="Reject").click()
        await shown(page, "A rejection needs a reason")
        await page.get_by_label("Comment").fill("Agreed in the <b>weekly</b>")
        await picture(page, "decide-refused")
        await page.get_by_role("button", name="Approve").click()
        await shown(page, "sign_off is approved by user:bob")
        assert page.url == link
        await picture(page, "decide-used")

        await page.reload()
        await shown(page, "Your decision counts")
        await page.goto(link)
        await shown(page, "Your decision counts")
        assert await page.get_by_role("button").count() == 0
        await run.handle.result()
        assert office.ledger == [("do", "pay", "paid")]
        step = (await run.view()).steps[0]
        assert step.output["comment"] == "Agreed in the <b>weekly</b>"
        # A refused form is an answer with an error's status, which Chromium notes; the policy was broken by nothing.
        assert [said for said in complaints if "422" not in said] == []


async def test_it_is_used_with_the_keyboard_alone(client: Client, tmp_path: Path) -> None:
    async with asked(client, tmp_path, "invoice-approval-I-4712") as (_, run, link), opened_browser() as page:
        await page.goto(link)
        while await focused(page) != "comment":
            await page.keyboard.press("Tab")
        await page.keyboard.type("by keyboard")
        while await focused(page) != "Approve":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await shown(page, "sign_off is approved by user:bob")
        await run.handle.result()


async def focused(page: "Page") -> str:
    """The field's id, or the button's words."""
    name: str = await page.evaluate("document.activeElement.id || document.activeElement.innerText || ''")
    return name


LOOKS: list[tuple[str, Any, Any]] = [
    ("light", {"width": 860, "height": 1000}, "light"),
    ("dark", {"width": 860, "height": 1000}, "dark"),
    ("mobile", {"width": 390, "height": 844}, "light"),
]
