"""HTTP tools against a real service: requests as declared, answers in bounds, failures told apart."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from contracts.egress import Egress
from tests.activities.tools.declared import declared
from tests.service import Answer, Request, Service, open_service

ERP = """
    http:
      erp:
        base: {base}/api
        headers: {{Authorization: "Bearer ${{ secret('erp.token') }}", X-Tenant: acme}}
        timeout: 2s
        max_bytes: 2000
        tools:
          read_order:
            path: /orders/{{order}}
            arguments: {{lines: {{type: boolean, default: true}}, tags: {{type: list, required: false}}}}
          place:
            method: POST
            path: /orders
            arguments: {{supplier: str, amount: {{type: number, minimum: 0}}}}
            idempotent: Idempotency-Key
            result: {{type: object, required: [id], properties: {{id: string}}}}
          send:
            method: POST
            path: /mails
            arguments: {{mail: dict}}
            body: mail
"""
TOKEN = "sf-canary-31415"


@pytest.fixture
def service() -> Iterator[Service]:
    with open_service() as opened:
        yield opened


def erp(tmp_path: Path, service: Service, egress: Egress | None = None) -> Any:
    more = {} if egress is None else {"egress": egress}
    return declared(tmp_path, ERP.format(base=service.base), secrets={"erp.token": TOKEN}, **more)


def meaning(error: ApplicationError) -> tuple[bool, str]:
    """Whether it is tried again, and whether it happened."""
    return not error.non_retryable, error.details[0]["applied"]


async def test_arguments_go_into_path_query_and_body_and_secrets_into_headers(tmp_path: Path, service: Service) -> None:
    async with erp(tmp_path, service) as call:
        assert await call("erp.read_order", order="a/b?c", tags=["x", "y"]) == {
            "path": "/api/orders/a%2Fb%3Fc?lines=true&tags=x&tags=y"
        }
        service.answer = lambda request: Answer({"id": "o-1"}, status=201)
        assert await call("erp.place", supplier="Müller", amount=5.5) == {"id": "o-1"}
        await call("erp.send", mail={"to": "x"})
    read, place, send = service.requests
    assert (read.headers["authorization"], read.headers["x-tenant"]) == (f"Bearer {TOKEN}", "acme")
    assert (place.method, place.body) == ("POST", {"supplier": "Müller", "amount": 5.5})
    assert place.headers["idempotency-key"] == "run-1/step"
    assert send.body == {"to": "x"}


@pytest.mark.parametrize("order", [".", "..", ""])
async def test_an_argument_cannot_lead_out_of_its_place_in_the_path(
    tmp_path: Path, service: Service, order: str
) -> None:
    async with erp(tmp_path, service) as call:
        error = await call.failure("erp.read_order", order=order)
    assert "cannot be part of a path" in str(error)
    assert service.requests == []


async def test_arguments_and_results_are_held_to_their_schemas(tmp_path: Path, service: Service) -> None:
    async with erp(tmp_path, service) as call:
        error = await call.failure("erp.place", supplier="x", amount=-1)
        assert error.type == "ArgumentsInvalid"
        assert "amount" in str(error)
        assert service.requests == []
        error = await call.failure("erp.place", supplier="x", amount=1)
        assert (error.type, meaning(error)) == ("OutputInvalid", (False, "unknown"))


@pytest.mark.parametrize(
    ("status", "headers", "read", "write"),
    [
        (400, {}, (False, "no"), (False, "no")),
        (404, {}, (False, "no"), (False, "no")),
        (500, {}, (True, "unknown"), (True, "unknown")),
        (504, {}, (True, "unknown"), (True, "unknown")),
        (429, {}, (True, "no"), (True, "no")),
        (301, {"location": "http://169.254.169.254/latest"}, (False, "no"), (False, "no")),
        (307, {"location": "http://elsewhere.example/x"}, (False, "no"), (False, "no")),
        (303, {"location": "http://elsewhere.example/done"}, (False, "no"), (True, "unknown")),
        (404, {"content-type": "text/plain; charset=zlib"}, (False, "no"), (False, "no")),
        (404, {"content-encoding": "gzip"}, (False, "no"), (False, "no")),
        (503, {"retry-after": "\u00b2"}, (True, "no"), (True, "no")),
    ],
)
async def test_each_status_is_what_it_means(
    tmp_path: Path, service: Service, status: int, headers: dict[str, str], read: Any, write: Any
) -> None:
    service.answer = lambda request: Answer({"error": f"no {TOKEN}"}, status=status, headers=headers)
    async with erp(tmp_path, service) as call:
        errors = [await call.failure("erp.read_order", order="1"), await call.failure("erp.send", mail={})]
    assert [meaning(error) for error in errors] == [read, write]
    assert len(service.requests) == 2
    assert TOKEN not in str(errors)


async def test_retry_after_is_a_wait_that_takes_no_attempt(tmp_path: Path, service: Service) -> None:
    service.answer = lambda request: Answer(status=503, headers={"retry-after": "7"})
    async with erp(tmp_path, service) as call:
        error = await call.failure("erp.read_order", order="1")
    assert (error.details[0]["after"], error.details[0]["applied"]) == (7.0, "no")


async def test_a_redirect_of_a_read_is_followed_on_its_own_host_a_few_times(tmp_path: Path, service: Service) -> None:
    def answer(request: Request) -> Answer:
        count = len(service.requests)
        return Answer({"at": count}) if count > 2 else Answer(status=302, headers={"location": f"/api/orders/{count}"})

    service.answer = answer
    async with erp(tmp_path, service) as call:
        assert await call("erp.read_order", order="1") == {"at": 3}
        service.answer = lambda request: Answer(status=302, headers={"location": "/api/orders/1"})
        assert "more than 3 times" in str(await call.failure("erp.read_order", order="1"))
        service.answer = lambda request: Answer(status=302, headers={"location": f"http://localhost:{service.port}/"})
        assert "is not followed" in str(await call.failure("erp.read_order", order="1"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"x" * 3000), "more than 2,000 bytes"),
        (Answer(b"{]"), "not the JSON it says"),
        (Answer(b"[" * 900 + b"]" * 900), "not the JSON it says"),
        (Answer(b"[NaN]"), "not the JSON it says"),
        (Answer(b"[1e999]"), "not the JSON it says"),
        (Answer(b'["\\ud800"]'), "not the JSON it says"),
        (Answer(b"x", headers={"content-type": "text/plain; charset=undefined"}), "neither JSON nor text"),
        (Answer(b"\x1f\x8b", headers={"content-encoding": "gzip"}), "compresses"),
        (Answer(b"\xff\xfe\x00", headers={"content-type": "application/pdf"}), "neither JSON nor text"),
    ],
)
async def test_an_answer_nobody_can_use_is_final_for_a_read_and_unknown_for_a_write(
    tmp_path: Path, service: Service, answer: Answer, said: str
) -> None:
    service.answer = lambda request: answer
    async with erp(tmp_path, service) as call:
        read, write = await call.failure("erp.read_order", order="1"), await call.failure("erp.send", mail={})
    assert said in str(read)
    assert said in str(write)
    assert (meaning(read), meaning(write)[1]) == ((False, "no"), "unknown")


@pytest.mark.parametrize(("status", "after"), [(404, (False, "no")), (503, (True, "no"))])
async def test_a_refusal_in_many_words_is_still_a_refusal(
    tmp_path: Path, service: Service, status: int, after: Any
) -> None:
    service.answer = lambda request: Answer(b"x" * 3000, status=status)
    async with erp(tmp_path, service) as call:
        assert meaning(await call.failure("erp.send", mail={})) == after


async def test_no_message_shows_a_part_of_a_secret(tmp_path: Path, service: Service) -> None:
    service.answer = lambda request: Answer(b"x" * 490 + b" " + TOKEN.encode(), status=400)
    async with erp(tmp_path, service) as call:
        assert TOKEN[:6] not in str(await call.failure("erp.send", mail={}))


async def test_a_query_in_the_path_goes_with_the_arguments_and_any_schema_is_one(
    tmp_path: Path, service: Service
) -> None:
    text = """
    http:
      shop: {base: "%s", tools: {find: {path: "/search?kind=a", arguments: {q: true}}}}
    """
    async with declared(tmp_path, text % service.base) as call:
        assert await call("shop.find", q="x") == {"path": "/search?kind=a&q=x"}


async def test_a_line_that_breaks_leaves_the_outcome_unknown(tmp_path: Path, service: Service) -> None:
    service.answer = lambda request: Answer({"id": "1"}, cut=10)
    async with erp(tmp_path, service) as call:
        assert meaning(await call.failure("erp.send", mail={})) == (True, "unknown")


async def test_no_answer_in_time_leaves_it_unknown_and_no_connection_does_not(tmp_path: Path) -> None:
    release = threading.Event()
    with open_service() as service:
        text = ERP.format(base=service.base)
        async with declared(tmp_path, text, secrets={"erp.token": TOKEN}) as call:
            await call("erp.send", mail={})  # over the line that the next call then need not open in its short time
            service.answer = lambda request: Answer(until=release)
            call.patience = 0.5
            error = await call.failure("erp.send", mail={})
            assert meaning(error) == (True, "unknown")
            assert "did not answer in time" in str(error)
            release.set()
    async with declared(tmp_path, text, secrets={"erp.token": TOKEN}) as call:
        error = await call.failure("erp.send", mail={})
        assert meaning(error) == (True, "no")
        assert "cannot be reached" in str(error)


async def test_a_host_that_fails_is_left_alone_and_the_callers_mistakes_do_not_count(
    tmp_path: Path, service: Service
) -> None:
    async with erp(tmp_path, service) as call:
        service.answer = lambda request: Answer(status=404)
        for _ in range(8):
            await call.failure("erp.read_order", order="1")
        service.answer = lambda request: Answer(status=500)
        errors = [await call.failure("erp.read_order", order="1") for _ in range(8)]
    assert len(service.requests) == 8 + 5
    assert errors[-1].details[0]["applied"] == "no"
    assert errors[-1].details[0]["after"] >= 9
    assert "5 of its last 5 calls failed, the last with 500" in str(errors[-1])


async def test_what_is_not_in_the_list_is_not_called(tmp_path: Path, service: Service) -> None:
    for egress in (Egress(), Egress(allow=("example.com",)), Egress(allow=(f"127.0.0.1:{service.port + 1}",))):
        async with erp(tmp_path, service, egress) as call:
            error = await call.failure("erp.read_order", order="1")
        assert "egress.allow" in str(error)
        assert meaning(error) == (False, "no")
    async with erp(tmp_path, service, Egress(allow=(f"127.0.0.1:{service.port}",))) as call:
        await call("erp.read_order", order="1")
    assert len(service.requests) == 1


async def test_a_proxy_of_the_environment_is_not_used(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with erp(tmp_path, service) as call:
        await call("erp.read_order", order="1")
    assert service.requests[0].headers["host"] == f"127.0.0.1:{service.port}"


async def test_a_secret_that_is_not_set_is_named_and_nothing_is_called(tmp_path: Path, service: Service) -> None:
    async with declared(tmp_path, ERP.format(base=service.base)) as call:
        assert "erp.token" in str(await call.failure("erp.read_order", order="1"))
    assert service.requests == []
