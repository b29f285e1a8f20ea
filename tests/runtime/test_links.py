"""Links are sealed: only who holds a key makes one that counts, and none says more than it was made for."""

import asyncio
import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.errors import SettingsInvalid
from runtime.links import KEY_FILE, PATH, Links
from runtime.redaction import without_shapes
from runtime.settings import LinkSettings, Settings

KEYS = {name: base64.b64encode(bytes([index]) * 32).decode() for index, name in enumerate(("OLD", "NEW", "OTHER"))}
SUBJECT = "ab" * 32


def links(home: Path, *names: str, **settings: object) -> Links:
    made = LinkSettings.model_validate({"keys": [f"env:{name}" for name in names], **settings})
    return Links.open(Settings(home=home, links=made), KEYS)


def token_of(address: str) -> str:
    return address.rpartition(PATH)[2]


def made_by(made: Links, until: datetime | None = None) -> str:
    return token_of(made.link_for("invoice-7", "sign_off", SUBJECT, "user:bob", until))


def test_a_link_says_who_decides_on_exactly_what_until_when(tmp_path: Path) -> None:
    made = links(tmp_path, "NEW", url="https://approvals.acme.example/surefoot/")
    until = datetime.now(UTC) + timedelta(hours=3)
    address = made.link_for("invoice-7", "sign_off", SUBJECT, "user:bob", until)
    assert address.startswith("https://approvals.acme.example/surefoot/decide/")
    link = made.read(token_of(address))
    assert (link.run, link.step, link.hash, link.person) == ("invoice-7", "sign_off", SUBJECT, "user:bob")
    assert link.expires == until
    assert not link.has_expired(until - timedelta(seconds=1))
    assert link.has_expired(until)
    assert made.read(made_by(made)).id != made.read(made_by(made)).id


def test_a_token_is_one_word_of_an_address_and_shows_nothing_of_what_it_carries(tmp_path: Path) -> None:
    token = made_by(links(tmp_path, "NEW"))
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert not any(word in raw for word in (b"invoice", b"bob", b"sign_off"))
    assert without_shapes(f"GET /decide/{token} HTTP/1.1") == "GET /decide/[secret] HTTP/1.1"


@pytest.mark.parametrize("expires", ["1h", "7d"])
def test_it_lasts_as_long_as_the_approval_and_no_longer_than_the_settings_say(tmp_path: Path, expires: str) -> None:
    made = links(tmp_path, "NEW", expires=expires)
    longest = LinkSettings.model_validate({"expires": expires}).expires
    far = datetime.now(UTC) + timedelta(days=400)
    for until in (None, far):
        left = made.read(made_by(made, until)).expires - datetime.now(UTC)
        assert timedelta(0) <= longest - left < timedelta(minutes=1)


def test_no_byte_of_a_token_can_be_another(tmp_path: Path) -> None:
    made = links(tmp_path, "NEW")
    for length in (8, 24, 40):  # their tokens' last characters carry 6, 2 and 4 bits
        token = token_of(made.link_for("r" * length, "s", SUBJECT, "user:bob"))
        assert made.read(token).run == "r" * length
        for place in range(len(token)):
            for other in {"A", "B", "-", "=", " ", "é", "\n", chr(ord(token[place]) ^ 1)} - {token[place]}:
                with pytest.raises(LookupError):
                    made.read(token[:place] + other + token[place + 1 :])
        for changed in ("", token[:-1], token + "A", token + "=", token + "\n", " " + token, token * 2, "x" * 100_000):
            with pytest.raises(LookupError):
                made.read(changed)


def test_what_another_key_sealed_is_no_link(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        links(tmp_path, "NEW").read(made_by(links(tmp_path, "OTHER")))


def test_a_sealed_text_that_is_no_link_is_none(tmp_path: Path) -> None:
    made = links(tmp_path, "NEW")
    for text in (b"{}", b"\xff", b'{"run": "r"}'):
        with pytest.raises(LookupError):
            made.read(made._fernet.encrypt(text).decode().rstrip("="))


def test_keys_rotate_the_first_seals_and_all_open(tmp_path: Path) -> None:
    before = made_by(links(tmp_path, "OLD"))
    both = links(tmp_path, "NEW", "OLD")
    assert both.read(before).run == "invoice-7"
    after = made_by(both)
    assert links(tmp_path, "NEW").read(after).run == "invoice-7"
    for token, keys in ((before, ["NEW"]), (after, ["OLD"])):
        with pytest.raises(LookupError):
            links(tmp_path, *keys).read(token)


async def test_without_keys_all_programs_of_a_home_share_one_that_only_its_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = await asyncio.gather(*(asyncio.to_thread(links, home) for _ in range(20)))
    tokens = [made_by(each) for each in made]
    assert all(each.read(token).run == "invoice-7" for each in made for token in tokens)
    assert stat.S_IMODE((home / KEY_FILE).stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "the variable NEW is not set"), ("hunter2", "env:NEW holds no key"), ("QUJD", "env:NEW holds no key")],
)
def test_a_key_that_is_none_is_named_and_not_shown(tmp_path: Path, key: str, said: str) -> None:
    settings = Settings(home=tmp_path, links=LinkSettings(keys=("env:NEW",)))
    with pytest.raises(SettingsInvalid, match=said) as refused:
        Links.open(settings, {"NEW": key})
    assert not key or key not in str(refused.value).replace("env:NEW", "")


def test_a_key_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsInvalid, match=KEY_FILE):
        links(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match="mend SUREFOOT_HOME"):
        links(tmp_path / "file")
