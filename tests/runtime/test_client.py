import socket
import time
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import GrpcCompression

from contracts.errors import ServerUnreachable, SettingsInvalid
from contracts.names import SEARCH_ATTRIBUTES
from runtime.client import Connection, compression_to, connect, ensure_search_attributes, is_configured
from runtime.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture(autouse=True)
def _no_settings_of_this_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def address(client: Client) -> str:
    return client.service_client.config.target_host


async def test_temporals_own_variable_says_where_the_server_is(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, client: Client
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(client))
    connection = await connect(settings)
    assert (connection.address, connection.embedded) == (address(client), False)


async def test_temporals_own_file_and_profile_say_where_the_server_is(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text(f'[profile.there]\naddress = "{address(client)}"\nnamespace = "default"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    monkeypatch.setenv("TEMPORAL_PROFILE", "there")
    assert (await connect(settings)).address == address(client)


async def test_what_goes_to_a_server_on_this_machine_is_not_compressed(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, client: Client
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(client))
    connected = await connect(settings)
    assert connected.client.service_client.config.grpc_compression is GrpcCompression.NONE
    assert {compression_to(f"{here}:7233") for here in ("localhost", "127.0.0.2", "[::1]")} == {GrpcCompression.NONE}
    assert {compression_to(f"{there}:7233") for there in ("temporal", "10.0.0.8")} == {GrpcCompression.GZIP}


async def test_without_a_server_the_ways_out_are_named(settings: Settings) -> None:
    assert not is_configured()
    with pytest.raises(ServerUnreachable) as caught:
        await connect(settings)
    for way_out in ("make worker", "make demo", "TEMPORAL_ADDRESS"):
        assert way_out in str(caught.value)


async def test_a_server_that_refuses_is_named_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("TEMPORAL_ADDRESS", nowhere)
        with pytest.raises(ServerUnreachable, match=rf"{nowhere}.*TEMPORAL_ADDRESS"):
            await connect(settings)


@pytest.mark.slow
async def test_a_server_that_never_answers_does_not_hold_us(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ServerUnreachable, match="cannot be reached"):
            await connect(settings)
        assert time.monotonic() - started < 30


async def test_a_namespace_that_does_not_exist_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, client: Client
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(client))
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    with pytest.raises(ServerUnreachable, match=r"nowhere.*TEMPORAL_NAMESPACE"):
        await connect(settings)


async def test_a_config_file_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsInvalid, match=r"TEMPORAL_CONFIG_FILE=.*none\.toml"):
        await connect(settings)


@pytest.mark.parametrize("text", ["[profile", '[profile.other]\naddress = "x:1"'])
async def test_a_config_file_that_does_not_hold_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path, text: str
) -> None:
    (tmp_path / "temporal.toml").write_text(text)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "temporal.toml"))
    monkeypatch.setenv("TEMPORAL_PROFILE", "there")
    with pytest.raises(SettingsInvalid, match="TEMPORAL_"):
        await connect(settings)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TEMPORAL_ADDRESS", "localhost:abc", r"invalid port number; mend TEMPORAL_ADDRESS \(localhost:abc"),
        ("TEMPORAL_ADDRESS", ":7233", r"empty host; mend TEMPORAL_ADDRESS \(:7233"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nowhere/cert.pem", r"TEMPORAL_\*.*No such file.*/nowhere/cert\.pem"),
        ("TEMPORAL_TLS_CLIENT_CERT_DATA", "half", r"both client cert and private key.*TEMPORAL_TLS_"),
    ],
)
async def test_an_address_that_is_none_and_half_of_what_tls_needs_are_said(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, client: Client, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(client))
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=said):
        await connect(settings)


async def test_search_attributes_are_added_where_they_are_missing(client: Client) -> None:
    await ensure_search_attributes(client)
    await ensure_search_attributes(client)
    for key in SEARCH_ATTRIBUTES:
        await client.count_workflows(f"{key.name} = 'x'")


async def test_a_link_holds_for_the_run_of_a_step_too(client: Client) -> None:
    connection = Connection(client, "here", "http://web", embedded=True)
    assert connection.link("run-1/audit") == "http://web/namespaces/default/workflows/run-1%2Faudit"


async def test_links_lead_where_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, client: Client, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(client))
    connection = await connect(Settings(home=tmp_path, ui_url="http://web/"))
    assert connection.link("run-1") == "http://web/namespaces/default/workflows/run-1"
