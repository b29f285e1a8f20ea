"""Settings of stores and keys: what is set is what is used, what is wrong is said, and no secret is shown."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.conversations import SqliteConversations
from activities.conversations.encrypted import EncryptedConversations
from activities.conversations.opening import open_conversations
from contracts.errors import SettingsInvalid
from contracts.stores import ConversationSettings
from runtime.client import conversation_retention
from runtime.keys import Keys
from runtime.settings import load_settings

SECRET = "s3cr3t-value"


def set_file(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    file = folder / "surefoot.toml"
    file.write_text(text)
    monkeypatch.setenv("SUREFOOT_CONFIG", str(file))


@pytest.mark.parametrize(
    ("store", "kind"),
    [
        ("sqlite", "sqlite"),
        ("postgresql://app@db/app?sslmode=require", "postgresql"),
        ("postgresql:///app", "postgresql"),
        ("redis://cache:6379/2", "redis"),
        ("rediss://cache", "redis"),
        ("s3://acme/surefoot", "s3"),
    ],
)
def test_a_store_is_told_by_its_url(store: str, kind: str) -> None:
    assert ConversationSettings(store=store).kind == kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[conversations]\nstore = "mysql://db"',
            ("conversations.store: 'mysql://db'", "is no store", "postgresql://"),
        ),
        ('[conversations]\nstore = "s3://"', ("names no host or bucket",)),
        (f'[conversations]\nstore = "redis://:{SECRET}@cache"', ("holds a password", 'conversations.password = "env:')),
        (f'[conversations]\nstore = "postgresql://db/x?password={SECRET}"', ("holds a password",)),
        (f'[conversations]\npassword = "{SECRET}"', ("conversations.password", "write env:NAME")),
        ('[conversations]\npassword = "env:X"', ("password is for postgresql and redis",)),
        ('[conversations]\nretention = "5m"', ("conversations.retention: '5m'", "shorter than an hour")),
        ('[conversations]\nfolder = "x"', ("there is no such setting", "store, password, retention")),
        (f'[encryption.keys]\na = "{SECRET}"', ("encryption.keys.a", "write env:NAME")),
        ('[encryption.keys]\na = "env:A"\nb = "env:B"', ("active must say which of a, b encrypts",)),
        ('[encryption]\nactive = "c"\n[encryption.keys]\na = "env:A"', ("active is 'c', and the keys are a",)),
        (f'[encryption]\ncodec_token = "{SECRET}"', ("encryption.codec_token", "write env:NAME")),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out_and_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: tuple[str, ...]
) -> None:
    set_file(monkeypatch, tmp_path, text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    for part in said:
        assert part in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("store", "package", "group"),
    [
        ("postgresql://db/app", "psycopg", "postgres"),
        ("redis://cache", "redis", "redis"),
        ("s3://acme", "aioboto3", "s3"),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str, package: str, group: str
) -> None:
    monkeypatch.setattr("activities.reach.needs.find_spec", lambda name: None)
    settings = ConversationSettings(store=store)
    with pytest.raises(SettingsInvalid, match=rf"{package} is not installed; `make setup WITH={group}`"):
        open_conversations(settings, tmp_path, timedelta(days=1), {})


def test_a_password_that_is_not_set_is_said_by_its_variable(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="make setup WITH=redis")
    settings = ConversationSettings(store="redis://cache", password="env:NOT_THERE")
    with pytest.raises(SettingsInvalid, match=r"conversations\.password: the variable NOT_THERE is not set"):
        open_conversations(settings, tmp_path, timedelta(days=1), {})


async def test_conversations_are_encrypted_when_there_are_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_file(monkeypatch, tmp_path, '[encryption.keys]\nonly = "env:KEY"')
    settings = load_settings()
    assert settings.encryption.active_key == "only"
    keys = Keys.read(settings.encryption, {"KEY": base64.b64encode(bytes(32)).decode()})
    made: list[Any] = [
        open_conversations(settings.conversations, tmp_path, timedelta(days=1), {}, key) for key in (None, keys)
    ]
    assert [type(store) for store in made] == [SqliteConversations, EncryptedConversations]
    for store in made:
        await store.close()


async def test_conversations_outlive_what_the_namespace_keeps(client: Client) -> None:
    assert await conversation_retention(client) == timedelta(days=31)
