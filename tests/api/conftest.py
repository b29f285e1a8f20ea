"""The pages as a browser meets them: a real server on a free port, real runs behind it."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx2
import pytest_asyncio
from temporalio.client import Client

from api.app import make_app
from api.serving import serving
from contracts.run import Waiting
from runtime.links import Links
from runtime.settings import LinkSettings, Settings
from tests.workflows.office import Office, Run, open_office


@dataclass
class Desk:
    """Where people decide: makes links for runs of the office, and opens them."""

    office: Office
    links: Links
    http: httpx2.AsyncClient

    async def link(self, run: Run, step: str, person: str, until: datetime | None = None) -> str:
        """To what the step asks now."""
        waiting = await self.asked(run, step)
        return self.links.link_for(run.id, step, waiting.hash or "", person, until or waiting.until)

    async def asked(self, run: Run, step: str) -> Waiting:
        view = await run.waiting(step)
        return next(waiting for waiting in view.waiting if waiting.step == step)

    async def get(self, link: str) -> httpx2.Response:
        return await self.http.get(link)

    async def post(self, link: str, decision: str, comment: str = "", **more: str) -> httpx2.Response:
        """As the form on the page does, then wherever that leads."""
        form = {"decision": decision, "comment": comment, **more}
        return await self.http.post(link, data=form, headers={"Origin": self.links.base}, follow_redirects=True)


@pytest_asyncio.fixture
async def desk(client: Client, tmp_path: Path) -> AsyncIterator[Desk]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        links = Links.open(Settings(home=tmp_path, links=LinkSettings(url=url)), {})
        async with (
            open_office(client) as office,
            serving(make_app(client, links), listening),
            httpx2.AsyncClient(timeout=30) as http,
        ):
            yield Desk(office, links, http)
