"""An adapter's file and object are checked when the process is loaded, each mistake told with its place and way out."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from contracts.adapters import Adapter
from contracts.errors import DefinitionInvalid, ModelFailed
from runtime.catalog import Catalog

FILES = Path(__file__).parent / "files"
needs_pydantic_ai = pytest.mark.skipif(find_spec("pydantic_ai") is None, reason="make setup WITH=pydantic-ai")
needs_langgraph = pytest.mark.skipif(find_spec("langgraph") is None, reason="make setup WITH=langgraph")


def write(folder: Path, adapter: str) -> Path:
    for file in FILES.glob("*.py"):
        shutil.copy(file, folder / file.name)
    path = folder / "process.yaml"
    path.write_text(
        f"process: with-team\nagents:\n  clerk:\n    adapter: {{{adapter}}}\nsteps:\n"
        "  ask: {agent: clerk, task: Do it.}\n"
    )
    return path


def problem(folder: Path, adapter: str) -> str:
    path = write(folder, adapter)
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([]).definition_of_file(path)
    return str(caught.value)


@needs_pydantic_ai
@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("pydantic_ai: 'nowhere.py:clerk'", ("no file nowhere.py", "FILE.py:NAME")),
        ("pydantic_ai: 'with_pydantic_ai.py:clark'", ("no `clark`", "clerk")),
        ("pydantic_ai: 'with_pydantic_ai.py:number'", ("is a int", "a Pydantic AI agent")),
        ("pydantic_ai: 'with_pydantic_ai.py:handy'", ("tools of its own: today", "own_tools: true")),
    ],
)
def test_a_wrong_object_is_told_with_its_place(tmp_path: Path, adapter: str, said: tuple[str, str]) -> None:
    text = problem(tmp_path, adapter)
    assert "process.yaml:4:" in text
    assert all(part in text for part in said)


@needs_langgraph
def test_a_graph_that_is_not_compiled_is_told(tmp_path: Path) -> None:
    text = problem(tmp_path, "langgraph: 'with_langgraph.py:uncompiled'")
    assert "is a StateGraph" in text
    assert ".compile()" in text


@needs_pydantic_ai
def test_a_right_object_is_loaded_and_travels_as_its_name(tmp_path: Path) -> None:
    write(tmp_path, "pydantic_ai: 'with_pydantic_ai.py:clerk'")
    catalog = Catalog.load([tmp_path])
    adapter = catalog.definition("with-team").process.agents["clerk"].adapter
    assert adapter == Adapter(pydantic_ai="with_pydantic_ai.py:clerk")
    assert type(catalog.foreign("with-team", adapter)).__name__ == "Agent"
    with pytest.raises(ModelFailed, match="there is no process 'other'"):
        catalog.foreign("other", adapter)


def test_a_framework_that_is_not_installed_is_one_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    text = problem(tmp_path, "pydantic_ai: 'with_pydantic_ai.py:clerk'")
    assert "pydantic-ai is not installed" in text
    assert "make setup WITH=pydantic-ai" in text


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("own_tools: true", "write exactly one of pydantic_ai, openai_agents, langgraph"),
        ("pydantic_ai: 'a.py:x', langgraph: 'a.py:x'", "write exactly one of"),
        ("pydantic_ai: clerk", "pydantic_ai"),
    ],
)
def test_an_adapter_names_one_object(tmp_path: Path, adapter: str, said: str) -> None:
    assert said in problem(tmp_path, adapter)


def test_an_agent_without_adapter_needs_instructions(tmp_path: Path) -> None:
    path = tmp_path / "process.yaml"
    path.write_text("process: x\nagents: {clerk: {tools: []}}\nsteps:\n  ask: {agent: clerk, task: Do it.}\n")
    with pytest.raises(DefinitionInvalid, match="instructions"):
        Catalog.load([]).definition_of_file(path)
