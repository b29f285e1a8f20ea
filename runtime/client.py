"""Connecting to Temporal by its standard settings, or to the embedded server when there are none."""

import asyncio
import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
)
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from contracts.errors import ServerUnreachable, SettingsInvalid
from contracts.names import SEARCH_ATTRIBUTES
from runtime.codec import EncryptionCodec, NoKeys
from runtime.keys import Keys
from runtime.server import find_server
from runtime.settings import Settings
from runtime.storage import PayloadConverter, close_storage, external_storage

CONNECT_SECONDS = 8.0
CONFIG_FILE_VARIABLE = "TEMPORAL_CONFIG_FILE"
DEFAULT_NAMESPACE = "default"

WAITING = timedelta(days=30)
"""That a run may wait without a look at its conversations, which then come from the store and not from the workflow."""


@dataclass(frozen=True)
class Connection:
    """`ui`: where Temporal Web is, if that is known."""

    client: Client
    address: str
    ui: str | None
    embedded: bool

    def link(self, run: str) -> str | None:
        """The run in Temporal Web."""
        return f"{self.ui}/namespaces/{self.client.namespace}/workflows/{quote(run, safe='')}" if self.ui else None

    async def close(self) -> None:
        """Close what was opened for large payloads; the client itself needs no closing."""
        await close_storage(self.client.data_converter)


def data_converter(settings: Settings) -> DataConverter:
    """What every client, worker and replayer must be given, so that each can read what the others wrote.

    Raises:
        SettingsInvalid: what is set for large payloads or for encryption cannot be used here.
    """
    keys = Keys.read(settings.encryption, os.environ)
    return DataConverter(
        payload_converter_class=PayloadConverter,
        # What goes to external storage has been through the codec.
        payload_codec=EncryptionCodec(keys) if keys else NoKeys(),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes if keys else DefaultFailureConverter,
        external_storage=external_storage(settings),
    )


def temporal_config() -> ClientConnectConfig:
    """What `TEMPORAL_*` and Temporal's own TOML file say; empty when nothing is set.

    Raises:
        SettingsInvalid: a file that is named does not exist, or cannot be read.
    """
    file = os.environ.get(CONFIG_FILE_VARIABLE)
    if file and not Path(file).is_file():
        raise SettingsInvalid(f"{CONFIG_FILE_VARIABLE}={file}: there is no such file; mend the path or unset it")
    try:
        return ClientConfig.load_client_connect_config()
    except (ValueError, RuntimeError, OSError) as error:  # OSError: of the files of TLS
        raise SettingsInvalid(f"Temporal's settings (TEMPORAL_*, its TOML file) cannot be read: {error}") from error


def is_configured() -> bool:
    """Whether a Temporal address is set, so that no server is embedded."""
    return bool(temporal_config().get("target_host"))


async def connect(settings: Settings, runtime: Runtime | None = None) -> Connection:
    """`runtime`: of the SDK, when it is to measure what it does.

    Raises:
        ServerUnreachable: nothing answers at the address, within 8 seconds; or none is set and no embedded server runs.
        SettingsInvalid: Temporal's settings cannot be read or used, or those for large payloads cannot be used.
    """
    config = temporal_config()
    address = config.get("target_host")
    if address:
        return Connection(
            await _connect(settings, config, address, runtime), address, web_address(settings, config), embedded=False
        )
    server = find_server(settings)
    if server is None:
        raise ServerUnreachable(
            f"no Temporal server is running for {settings.home}; start one with `make worker` (worker.py) or "
            "`make demo`, or set TEMPORAL_ADDRESS to yours"
        )
    embedded = ClientConnectConfig(target_host=server.address, namespace=config.get("namespace", DEFAULT_NAMESPACE))
    return Connection(
        await _connect(settings, embedded, server.address, runtime), server.address, server.ui, embedded=True
    )


async def conversation_retention(client: Client) -> timedelta:
    """How long conversations are worth keeping after their last use: as long as the namespace keeps runs that ended,
    and some more for runs that wait."""
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return described.config.workflow_execution_retention_ttl.ToTimedelta() + WAITING


async def ensure_search_attributes(client: Client) -> None:
    """Add the search attributes that are missing.

    Raises:
        SettingsInvalid: some are missing and we may not add them; with the commands that do.
    """
    try:
        existing = await _search_attributes(client)
        missing = [key for key in SEARCH_ATTRIBUTES if key.name not in existing]
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace,
                    search_attributes={key.name: _attribute_type(key.indexed_value_type) for key in missing},
                )
            )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return  # another worker was faster
        commands = "\n".join(
            f"  temporal operator search-attribute create --name {key.name} "
            f"--type {'KeywordList' if 'LIST' in key.indexed_value_type.name else 'Keyword'}"
            for key in SEARCH_ATTRIBUTES
        )
        raise SettingsInvalid(
            f"the search attributes of namespace {client.namespace} could not be checked or added ({error.message}); "
            f"an administrator adds them with\n{commands}\n(on Temporal Cloud: in the namespace's settings)"
        ) from error


async def _search_attributes(client: Client) -> Collection[str]:
    try:
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.UNIMPLEMENTED:  # of the time-skipping test server, which can add them
            return ()
        raise
    return listed.custom_attributes


async def _connect(settings: Settings, config: ClientConnectConfig, address: str, runtime: Runtime | None) -> Client:
    converter = data_converter(settings)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await Client.connect(
                **config, data_converter=converter, runtime=runtime, grpc_compression=compression_to(address)
            )
            await client.service_client.check_health(retry=True, timeout=timedelta(seconds=CONNECT_SECONDS))
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except (RuntimeError, RPCError, TimeoutError) as error:
        if isinstance(error, RPCError) and error.status == RPCStatusCode.NOT_FOUND:
            name = config.get("namespace", DEFAULT_NAMESPACE)
            raise ServerUnreachable(
                f"the Temporal server at {address} has no namespace {name}; "
                f"create it with `temporal operator namespace create -n {name}`, or mend TEMPORAL_NAMESPACE"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else "no answer in time"
        raise ServerUnreachable(
            f"the Temporal server at {address} cannot be reached: {reason}; "
            "check TEMPORAL_ADDRESS, TLS and API key settings, and that it is running"
        ) from error
    except ValueError as error:
        raise SettingsInvalid(
            f"Temporal's settings cannot be used: {error}; mend TEMPORAL_ADDRESS ({address}; it is HOST:PORT) or "
            "TEMPORAL_TLS_*"
        ) from error
    return client


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def compression_to(address: str) -> GrpcCompression:
    """Of all that goes between us and a server: as the SDK has it, but none to a server on this machine, where it costs
    3 % of what we and the server do (145 tests of workflows, eight pairs) and saves nothing."""
    host = address.rpartition(":")[0].strip("[]")
    return GrpcCompression.NONE if is_loopback(host) else GrpcCompression.GZIP


def web_address(settings: Settings, config: ClientConnectConfig) -> str | None:
    """Where Temporal Web is, when it is set or is Temporal Cloud's."""
    if settings.ui_url:
        return settings.ui_url.rstrip("/")
    return "https://cloud.temporal.io" if str(config.get("target_host")).endswith(".tmprl.cloud:7233") else None


def _attribute_type(value: object) -> "IndexedValueType.ValueType":
    return IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{getattr(value, 'name', value)}")
