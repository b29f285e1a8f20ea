"""The codec endpoint over real HTTP, and as the Temporal CLI uses it."""

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payloads
from temporalio.client import Client
from temporalio.worker import Worker
from uuid_utils import uuid7

from runtime.client import data_converter
from runtime.sandbox import patient, workflow_runner
from runtime.server import temporal_binary
from runtime.settings import PROJECT, EncryptionSettings, Settings
from tests.runtime.large import Echo

KEY = base64.b64encode(bytes(range(32))).decode()
TOKEN = "endpoint-token"
PAGE = "http://localhost:8233"


@asynccontextmanager
async def endpoint(home: Path, *options: str, **variables: str) -> AsyncIterator[str]:
    """`starter.py codec` as a process on a free port; its address."""
    process = await codec(home, "--port", "0", *options, **variables)
    assert process.stderr is not None
    said = await asyncio.wait_for(process.stderr.readline(), 60)
    found = re.search(rb"http://\S+:\d+", said)
    assert found, said + await process.stderr.read()
    yield found[0].decode()
    process.terminate()
    await process.wait()


async def codec(home: Path, *options: str, **variables: str) -> asyncio.subprocess.Process:
    environment = {"SUREFOOT_HOME": str(home), "SUREFOOT_ENCRYPTION__KEYS": '{"k1": "env:KEY_1"}', "KEY_1": KEY}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "starter.py", "codec", *options),
        cwd=PROJECT,
        env={**os.environ, **environment, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def call(
    url: str, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> tuple[int, Any, Mapping[str, str]]:
    """Status, JSON and headers of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)  # noqa: S310

    def ask() -> tuple[int, Any, Mapping[str, str]]:
        try:
            with urlopen(request, timeout=30) as answer:  # noqa: S310
                text = answer.read()
                return answer.status, json.loads(text) if text.startswith(b"{") else text, dict(answer.headers)
        except HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text, dict(error.headers)

    return await asyncio.to_thread(ask)


@pytest_asyncio.fixture
async def encrypted(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("KEY_1", KEY)
    settings = Settings(home=tmp_path, encryption=EncryptionSettings(keys={"k1": "env:KEY_1"}))
    return await Client.connect(client.service_client.config.target_host, data_converter=data_converter(settings))


async def wire(client: Client, *values: Any) -> dict[str, Any]:
    """Payloads as Temporal's protocol writes them in JSON."""
    return MessageToDict(Payloads(payloads=await client.data_converter.encode(values)))


def clear(answer: Any) -> list[Any]:
    return [json.loads(base64.b64decode(payload["data"])) for payload in answer["payloads"]]


@pytest.mark.slow
async def test_what_workers_encrypt_is_decoded_and_what_is_encoded_they_can_read(
    encrypted: Client, tmp_path: Path
) -> None:
    async with endpoint(tmp_path) as url:
        large = "x" * 200_000
        status, answer, _ = await call(f"{url}/decode", await wire(encrypted, {"salary": 9000}, large))
        assert (status, clear(answer)) == (200, [{"salary": 9000}, large])
        sent = {"payloads": [{"metadata": {"encoding": b64("json/plain")}, "data": b64('"by hand"')}]}
        status, answer, _ = await call(f"{url}/encode", sent)
        sealed = answer["payloads"][0]
        assert (status, sealed["metadata"]["encoding"]) == (200, b64("binary/encrypted"))
        status, again, _ = await call(f"{url}/decode", answer)
        assert (status, again) == (200, sent)
        status, answer, _ = await call(f"{url}/decode", b"not json")
        assert (status, "payloads" in answer["message"]) == (400, True)
        status, answer, _ = await call(f"{url}/decode", sealed_by_another(sealed))
        assert status == 400
        assert "key 'other' is not one of encryption.keys (k1)" in answer["message"]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def sealed_by_another(payload: dict[str, Any]) -> dict[str, Any]:
    metadata = {**payload["metadata"], "encryption-key-id": b64("other")}
    return {"payloads": [{**payload, "metadata": metadata}]}


@pytest.mark.slow
async def test_only_pages_of_temporal_web_may_read_it_and_only_by_this_machines_name(
    encrypted: Client, tmp_path: Path
) -> None:
    async with endpoint(tmp_path, "--origin", "https://temporal.acme.example") as url:
        body = await wire(encrypted, "secret")
        for page, may in ((PAGE, True), ("https://temporal.acme.example", True), ("https://evil.example", False)):
            asks = {"Origin": page, "Access-Control-Request-Method": "POST"}
            asks["Access-Control-Request-Headers"] = "content-type,x-namespace"
            status, _, headers = await call(f"{url}/decode", b"", asks, method="OPTIONS")
            assert (status == 200) is may
            assert (headers.get("access-control-allow-origin") == page) is may
            _, _, headers = await call(f"{url}/decode", body, {"Origin": page})
            assert (headers.get("access-control-allow-origin") == page) is may
        status, _, _ = await call(f"{url}/decode", body, {"Host": "rebound.example"})
        assert status == 400


@pytest.mark.slow
async def test_with_a_token_only_those_who_carry_it_are_answered(encrypted: Client, tmp_path: Path) -> None:
    token = {"SUREFOOT_ENCRYPTION__CODEC_TOKEN": "env:CODEC", "CODEC": TOKEN}
    async with endpoint(tmp_path, **token) as url:
        body = await wire(encrypted, "secret")
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            status, answer, _ = await call(f"{url}/decode", body, header)
            assert (status, "payloads" in answer) == (401, False)
        status, answer, _ = await call(f"{url}/decode", body, {"Authorization": f"Bearer {TOKEN}"})
        assert (status, clear(answer)) == (200, ["secret"])


@pytest.mark.slow
async def test_the_temporal_cli_shows_what_is_encrypted_through_it(encrypted: Client, tmp_path: Path) -> None:
    name = f"echo-{uuid7()}"
    async with patient(Worker(encrypted, task_queue=name, workflows=[Echo], workflow_runner=workflow_runner())):
        await encrypted.execute_workflow(Echo.run, "the canary sings", id=name, task_queue=name)
    arguments = [str(temporal_binary()), "workflow", "show", "--workflow-id", name, "--output", "json"]
    arguments += ["--address", encrypted.service_client.config.target_host]
    assert b64('"the canary sings"') not in await output_of(arguments)
    async with endpoint(tmp_path) as url:
        assert b64('"the canary sings"') in await output_of([*arguments, "--codec-endpoint", url])


async def output_of(arguments: list[str]) -> str:
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        (("--host", "0.0.0.0"), {}, b"other machines can reach it; set encryption.codec_token"),  # noqa: S104
        ((), {"KEY_1": ""}, b"encryption.keys.k1: the variable KEY_1 is not set"),
        ((), {"SUREFOOT_ENCRYPTION__CODEC_TOKEN": "env:NONE"}, b"encryption.codec_token: the variable NONE is not set"),
    ],
)
async def test_it_does_not_start_unguarded_or_without_its_keys(
    tmp_path: Path, options: tuple[str, ...], variables: dict[str, str], said: bytes
) -> None:
    process = await codec(tmp_path, "--port", "0", *options, **variables)
    _, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert said in error
