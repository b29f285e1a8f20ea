"""The health checks of the compose file, run as they are written against what they ask for, and against nothing.

Only ports are others: each program listens at one of its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.deploy.files import health_checks
from tests.deploy.programs import program
from tests.servers import open_berth
from tests.stores import needs, postgres_program, postgres_server, running, succeeds

CHECKS = health_checks()


def at(check: list[str], usual: str, port: str) -> list[str]:
    """The check with another port than the usual one, which it names."""
    assert any(usual in word for word in check)
    return [word.replace(usual, port) for word in check]


def test_every_health_check_is_run_by_a_test() -> None:
    elsewhere = {"pages"}  # with the pages themselves
    assert set(CHECKS) == {"postgresql", "temporal", "prometheus"} | elsewhere


def test_postgresql_is_healthy_once_others_can_reach_it(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    needs("postgresql")
    monkeypatch.setenv("PATH", f"{Path(str(postgres_program('pg_isready'))).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PGPORT", f"{port}")
    assert not succeeds(CHECKS["postgresql"])
    with postgres_server() as server:
        monkeypatch.setenv("PGPORT", server.url.rpartition(":")[2].partition("/")[0])
        assert succeeds(CHECKS["postgresql"])


def test_temporal_is_healthy_once_it_listens(client: Client, port: int) -> None:
    program("nc", "netcat-openbsd")
    there = client.service_client.config.target_host.rpartition(":")[2]
    assert succeeds(at(CHECKS["temporal"], "7233", there))
    assert not succeeds(at(CHECKS["temporal"], "7233", f"{port}"))


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """Its port."""
    found = program("prometheus", "prometheus")
    (tmp_path / "prometheus.yml").write_text("{}")
    with open_berth() as port:
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
        ready = ["curl", "--fail", "--silent", "--output", "/dev/null", f"http://127.0.0.1:{port}/-/ready"]
        with running([found, *options], tmp_path, lambda: succeeds(ready)):
            yield f"{port}"


def test_prometheus_is_healthy_once_it_is_ready(prometheus: str, port: int) -> None:
    # The image has the wget of busybox, which takes fewer options than another.
    check = [program("busybox", "busybox"), *CHECKS["prometheus"]]
    assert succeeds(at(check, "9090", prometheus))
    assert not succeeds(at(check, "9090", f"{port}"))
