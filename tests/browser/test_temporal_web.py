"""Temporal Web, in a real headless Chromium, shows a run that a stranger can follow."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from temporalio.client import WorkflowQueryFailedError

from contracts.names import DECIDE, PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunResult, RunView
from tests.business import PROJECT, Business, eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SAMPLE = yaml.safe_load((PROJECT / "processes/employee-onboarding/sample.yaml").read_text())
RUN = "employee-onboarding-web"


@asynccontextmanager
async def opened_browser() -> AsyncIterator["Page"]:
    from playwright.async_api import async_playwright  # of the dependency group `browser`

    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next(found for name in names if (found := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page(viewport={"width": 1500, "height": 1800})
        yield page
        await browser.close()


async def shown(page: "Page", words: str) -> None:
    """Wait until the page, its frames included, shows these words."""

    from playwright.async_api import Error

    async def text() -> str:
        try:
            return "\n".join([await frame.locator("body").inner_text() for frame in page.frames])
        except Error:  # a frame went away between being listed and being read
            return ""

    await eventually(text, lambda seen: words in " ".join(seen.split()))


async def test_a_run_is_understood_from_temporal_web_alone(business: Business, tmp_path: Path) -> None:
    client = await business.client()
    payload = {"process": "employee-onboarding", "input": SAMPLE}
    handle = await client.start_workflow(
        PROCESS_WORKFLOW, payload, id=RUN, task_queue=TASK_QUEUE, result_type=RunResult
    )

    async def view() -> RunView | None:
        try:
            seen: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
        except WorkflowQueryFailedError:
            return None
        return seen

    await eventually(view, lambda seen: seen is not None and seen.status == "waiting")

    async def listed() -> int:
        return (await client.count_workflows("SurefootWaitsFor = 'user:mia'")).count

    await eventually(listed, bool)  # The page asks once, and Temporal's index is a moment behind.
    web = f"{business.server['ui']}/namespaces/default/workflows"

    async with opened_browser() as page:
        await page.goto(f"{web}?query=SurefootWaitsFor%3D%22user%3Amia%22")
        await shown(page, RUN)

        run = f"{web}/{RUN}/{handle.first_execution_run_id}"
        await page.goto(f"{run}/user-metadata")
        await shown(page, "employee-onboarding is waiting")
        await shown(page, "waits for user:mia")

        await handle.execute_update(DECIDE, {"step": "hardware_approval", "decision": "approve", "by": "user:mia"})
        await handle.result()
        await page.goto(f"{run}/timeline")
        for words in (
            "record: Create the employee's record",
            "equipment: it_specialist",
            "hardware_approval: who decides",
            "helpdesk.order_hardware",
            "mail.send",
        ):
            await shown(page, words)
