"""Which release a worker is: off without a name, a build id of its source."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from temporalio.common import VersioningBehavior

from runtime.release import BUILD_ID_LENGTH, build_id, build_id_of, deployment
from runtime.settings import Settings


def test_a_worker_is_a_release_only_of_a_deployment_that_is_named() -> None:
    assert deployment(Settings()) is None
    config = deployment(Settings(deployment="surefoot"))
    assert config is not None
    assert config.use_worker_versioning
    assert config.default_versioning_behavior is VersioningBehavior.PINNED
    assert (config.version.deployment_name, config.version.build_id) == ("surefoot", build_id(Settings()))
    assert len(config.version.build_id) == BUILD_ID_LENGTH
    named = deployment(Settings(deployment="surefoot", build_id="1.2.0"))
    assert named is not None
    assert named.version.build_id == "1.2.0"


def test_a_deployment_has_a_name_that_the_server_takes() -> None:
    with pytest.raises(ValidationError):
        Settings(deployment="sure.foot")


def test_a_build_id_is_of_the_source_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name / "engine").mkdir(parents=True)
        (tmp_path / name / "engine" / "a.py").write_text("a = 1")
        (tmp_path / name / "uv.lock").write_text("temporalio 1.35")
        (tmp_path / name / "processes" / "p").mkdir(parents=True)
        (tmp_path / name / "processes" / "p" / "process.yaml").write_text("process: p")

    def made(name: str) -> str:
        return build_id_of([tmp_path / name / "engine", tmp_path / name / "uv.lock"], [tmp_path / name / "processes"])

    assert made("here") == made("there")
    (tmp_path / "there" / "engine" / "notes.txt").write_text("no code")
    (tmp_path / "there" / "engine" / "__pycache__").mkdir()
    (tmp_path / "there" / "engine" / "__pycache__" / "a.py").write_text("made")
    assert made("here") == made("there")
    (tmp_path / "there" / "processes" / "p" / "process.yaml").write_text("process: q")
    assert made("here") != made("there")
    (tmp_path / "there" / "processes" / "p" / "process.yaml").write_text("process: p")
    (tmp_path / "there" / "uv.lock").write_text("temporalio 1.36")
    assert made("here") != made("there")
    (tmp_path / "there" / "uv.lock").write_text("temporalio 1.35")
    (tmp_path / "here" / "engine" / "a.py").write_text("a = 2")
    (tmp_path / "there" / "processes" / "p" / "process.yaml").write_text("process: p")
    assert made("here") != made("there")
