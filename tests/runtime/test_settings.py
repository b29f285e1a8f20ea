import os
from pathlib import Path

import pytest

from contracts.errors import SettingsInvalid
from runtime.settings import PROJECT, Settings, load_settings, ready_home


def set_file(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    file = folder / "surefoot.toml"
    file.write_text(text)
    monkeypatch.setenv("SUREFOOT_CONFIG", str(file))
    return file


def test_everything_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUREFOOT_HOME", raising=False)  # a worker of another test leaves its own there, for its tools
    settings = load_settings()
    assert settings.home == PROJECT / ".surefoot"
    assert settings.folders == (PROJECT / "processes",)
    assert settings.people.file == PROJECT / "processes" / "people.yaml"
    assert settings.task_queue == "surefoot"


HOOK = '[[notices]]\nname = "hook"\nkind = "webhook"\nurl = "https://acme.example"\n'
MAIL = '[[notices]]\nname = "mail"\nkind = "mail"\nhost = "smtp.example"\nsender = "a@acme.example"\n'


def test_a_variable_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_file(monkeypatch, tmp_path, 'task_queue = "of-file"\nlog_level = "debug"\n')
    monkeypatch.setenv("SUREFOOT_TASK_QUEUE", "of-variable")
    settings = load_settings()
    assert (settings.task_queue, settings.log_level) == ("of-variable", "debug")


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_TASK_QUEUE", "")
    assert load_settings().task_queue == "surefoot"


def test_process_folders_are_split_at_colons_after_the_projects_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two with spaces"
    one.mkdir()
    two.mkdir()
    monkeypatch.setenv("SUREFOOT_PROCESSES", f"{one}:{two}")
    assert load_settings().folders == (PROJECT / "processes", one, two)


def test_model_aliases_come_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_file(monkeypatch, tmp_path, '[models.fast]\nmodel = "small"\nbase_url = "http://127.0.0.1:1/v1"\n')
    assert load_settings().models["fast"].model == "small"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('log_level = "loud"', ("log_level", "'loud'", "debug")),
        ('task_queue = "/_sys/x"', ("task_queue", "'/_sys/x'", "the server's own")),
        (f'queues.models = "{"x" * 201}"', ("queues.models", "at most 200")),
        (f'task_queue = "{"x" * 201}"', ("task_queue", "at most 200")),
        ('taskqueue = "x"', ("taskqueue", "there is no such setting", "task_queue")),
        ('[models.fast]\nbase_url = "example.com"', ("models.fast.base_url", "'example.com'", "https?")),
        ("[models.fast]\ninput_price = -1", ("models.fast.input_price", "-1", "greater than or equal to 0")),
        (
            "[models.fast]\nrequests_per_minute = 0",
            ("models.fast.requests_per_minute", "0", "greater than or equal to 1"),
        ),
        ('[models.fast]\ntokens_per_minute = "lots"', ("models.fast.tokens_per_minute", "'lots'", "valid integer")),
        ("[models.fast]\nwindow = 0", ("models.fast.window", "0", "greater than or equal to 1")),
        ("[models.fast]\nwindow = 100\nmax_output = 100", ("models.fast", "max_output 100", "below window", "100")),
        ("[models.fast]\ntokens_per_minute = 9\nmax_output = 10", ("models.fast", "below tokens_per_minute", "9")),
        ('[models.fast]\ntimeout = "1h"', ("models.fast.timeout", "'1h'", "at most 9m")),
        ('[models.fast]\nkey_env = "My-Key"', ("models.fast.key_env", "a variable's name")),
        ("[models.fast]\nrpm = 3", ("models.fast.rpm", "there is no such setting", "requests_per_minute")),
        ("log_level = \nuser = 1", ("line 1",)),
    ],
)
def test_a_mistake_in_the_file_names_file_key_and_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: tuple[str, ...]
) -> None:
    file = set_file(monkeypatch, tmp_path, text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    for part in (str(file), *expected):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"), [("SUREFOOT_LOG", "loud"), ("SUREFOOT_MODEL_API", "x"), ("SUREFOOT_UI_URL", "host")]
)
def test_a_mistake_in_a_variable_names_it_and_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{variable}: {value!r}")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("SUREFOOT_HEALT_PORT", "SUREFOOT_HEALTH_PORT"),
        ("SUREFOOT_TASKQUEUE", "SUREFOOT_TASK_QUEUE"),
        ("SUREFOOT_QUEUE__MODELS", "SUREFOOT_QUEUES__MODELS"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_s_is_refused_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    for name in ("SUREFOOT_PAGES_SERVICE_HOST", "SUREFOOT_PAGES_PORT", "SUREFOOT_LINK_KEY", "SUREFOOT_SECRET_ERP"):
        monkeypatch.setenv(name, "of somebody else")
    load_settings()
    monkeypatch.setenv(misspelt, "1")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert f"{caught.value}" == f"{misspelt}: there is no such setting; mend it to {meant}, or give it another name"


def test_a_key_that_stands_where_its_variable_s_name_belongs_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_file(monkeypatch, tmp_path, '[models.fast]\nkey_env = "gsk_0123456789canary"\n')
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert "models.fast.key_env" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_models_in_a_variable_that_are_not_json_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_MODELS", "{bad")
    with pytest.raises(SettingsInvalid, match="models"):
        load_settings()


def test_a_config_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUREFOOT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsInvalid, match=r"SUREFOOT_CONFIG=.*none\.toml.*no such file"):
        load_settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().task_queue = "other"  # type: ignore[misc] # the point of the test


@pytest.mark.parametrize(("user", "actor"), [("alice", "user:alice"), ("agent:bot", "agent:bot")])
def test_who_speaks_is_the_user_that_is_set(user: str, actor: str) -> None:
    assert Settings(user=user).actor == actor


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[people]\nscim = "idp.example"', ("people.scim", "https?")),
        ('[people]\nfile = "a.yaml"\nscim = "https://idp.example"', ("people", "either a file")),
        ('[people]\nfile = "a.yaml"\ncache = "5s"', ("cache goes with people.scim",)),
        ('[people]\nscim = "https://idp.example"\nuser = "x"', ("people.user", "there are", "user_name")),
        (HOOK + 'secret = "env:S"\nurll = 1', ("notices.0.webhook.urll", "there are", "secret")),
        (HOOK + 'secret = "env:S"\nevents = ["approval.open"]', ("notices.0.webhook.events", "'approval.opened'")),
        (HOOK + 'secret = "env:S"\n' + HOOK + 'secret = "env:S"', ("two channels are called hook",)),
        (MAIL + 'user = "u"', ("user and password go together",)),
        (MAIL + 'user = "u"\npassword = "env:P"\nsecurity = "none"', ("readable on its way",)),
    ],
)
def test_what_is_wrong_with_people_and_channels_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: tuple[str, ...]
) -> None:
    set_file(monkeypatch, tmp_path, text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        HOOK + 'secret = "whsec_canary"',
        MAIL + 'user = "u"\npassword = "canary"',
        '[[notices]]\nname = "chat"\nkind = "slack"\nurl = "hooks.slack.example/canary"',
        '[people]\nscim = "https://idp.example"\ntoken = "canary"',
    ],
)
def test_a_secret_in_the_place_of_its_reference_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    set_file(monkeypatch, tmp_path, text)
    with pytest.raises(SettingsInvalid, match="write env:NAME") as caught:
        load_settings()
    assert "canary" not in str(caught.value)


def test_people_are_a_file_by_a_variable_or_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUREFOOT_PEOPLE", str(tmp_path / "people.yaml"))
    assert load_settings().people.file == tmp_path / "people.yaml"
    set_file(monkeypatch, tmp_path, '[people]\nscim = "https://idp.example/scim/v2/"\n')
    monkeypatch.delenv("SUREFOOT_PEOPLE")
    monkeypatch.setenv("SUREFOOT_PEOPLE__TOKEN", "env:T")
    people = load_settings().people
    assert (people.file, people.scim, people.token) == (None, "https://idp.example/scim/v2", "env:T")


def test_a_home_is_made_where_there_is_none_for_nobody_else_to_read(tmp_path: Path) -> None:
    home = tmp_path / "of" / "worker"
    ready_home(home)
    assert home.stat().st_mode & 0o777 == 0o700
    ready_home(home)


def test_a_home_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    if os.geteuid() == 0:  # who may write everywhere
        monkeypatch.setattr(os, "access", lambda place, mode: bool(Path(place).stat().st_mode & 0o200))
    with pytest.raises(SettingsInvalid, match=f"^{tmp_path}: Permission denied; .* SUREFOOT_HOME to a folder"):
        ready_home(tmp_path)
    tmp_path.chmod(0o700)
