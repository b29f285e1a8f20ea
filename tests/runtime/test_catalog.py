"""Finding processes and tools in folders, and telling their authors what is wrong."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from contracts.errors import DefinitionInvalid, SettingsInvalid, UnknownProcess
from runtime.catalog import Catalog

TOOLS = """
    from contracts.tools import tool

    @tool(name="{name}", effect="read")
    def look(item: str) -> str:
        '''Look at an item.'''
        return item
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def process(folder: Path, name: str, tool: str) -> Path:
    write(folder / "tools.py", TOOLS.format(name=tool))
    return write(
        folder / "process.yaml",
        f"""
        process: {name}
        steps:
          look: {{tool: {tool}, with: {{item: pen}}}}
        """,
    )


def test_a_folder_of_processes_with_shared_tools_beside_them(tmp_path: Path) -> None:
    order = process(tmp_path / "order-goods", "order-goods", "shop.look")
    process(tmp_path / "sell-goods", "sell-goods", "market.look")
    write(tmp_path / "tools.py", TOOLS.format(name="everywhere.look"))
    catalog = Catalog.load([tmp_path])
    assert set(catalog.names) == {"order-goods", "sell-goods"}
    assert set(catalog.specs) == {"shop.look", "market.look", "everywhere.look"}
    assert catalog.files["order-goods"] == order
    assert set(catalog.definition("order-goods").tools) == {"shop.look"}


def test_a_folder_that_is_a_process_itself(tmp_path: Path) -> None:
    process(tmp_path / "mine", "order-goods", "shop.look")
    assert set(Catalog.load([tmp_path / "mine"]).names) == {"order-goods"}


def test_a_folder_given_twice_or_with_its_parent_is_read_once(tmp_path: Path) -> None:
    process(tmp_path / "mine", "order-goods", "shop.look")
    assert set(Catalog.load([tmp_path, tmp_path / "mine", tmp_path]).names) == {"order-goods"}


def test_tools_may_import_what_lies_beside_them_and_in_the_folder_given(tmp_path: Path) -> None:
    write(tmp_path / "surefoot_test_shared.py", "GREETING = 'hello'\n")
    for name in ("first-one", "second-one"):
        write(tmp_path / name / "helpers.py", f"NAME = '{name}'\n")
        write(
            tmp_path / name / "tools.py",
            f"""
            from contracts.tools import tool
            from surefoot_test_shared import GREETING
            from .helpers import NAME

            @tool(name="greet.{name.partition("-")[0]}", effect="read")
            def greet() -> str:
                '''Greet.'''
                return f"{{GREETING}} {{NAME}}"
            """,
        )
    tools = Catalog.load([tmp_path]).tools
    assert [tools[name]() for name in ("greet.first", "greet.second")] == ["hello first-one", "hello second-one"]


def test_a_tools_file_that_cannot_be_imported_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "a" / "tools.py", "x = 1\ny = 1 / 0\n")
    write(tmp_path / "b" / "tools.py", "def look(:\n    pass\n")
    write(tmp_path / "c" / "tools.py", "\n\nimport surefoot_no_such_module\n")
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([tmp_path])
    first, second, third = caught.value.problems
    assert (Path(first.file), first.line, first.message) == (
        tmp_path / "a" / "tools.py",
        2,
        "ZeroDivisionError: division by zero",
    )
    assert (Path(second.file), second.line) == (tmp_path / "b" / "tools.py", 1)
    assert "SyntaxError" in second.message
    assert (Path(third.file), third.line) == (tmp_path / "c" / "tools.py", 3)
    assert "from .surefoot_no_such_module import" in third.hint


def test_a_function_that_is_no_tool_is_named_with_its_line(tmp_path: Path) -> None:
    write(
        tmp_path / "a" / "tools.py",
        """
        from contracts.tools import tool

        @tool(name="shop.look", effect="read")
        def look(item) -> str:
            return item
        """,
    )
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([tmp_path])
    assert caught.value.problems[0].line == 4
    assert "give parameter item a type" in str(caught.value)


def test_a_tool_name_is_used_once_and_both_files_are_named(tmp_path: Path) -> None:
    process(tmp_path / "one" / "a", "order-goods", "shop.look")
    process(tmp_path / "two" / "b", "sell-goods", "shop.look")
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([tmp_path / "one", tmp_path / "two"])
    message = str(caught.value)
    assert "'shop.look'" in message
    assert str(tmp_path / "one" / "a" / "tools.py") in message
    assert message.startswith(f"{tmp_path / 'two' / 'b' / 'tools.py'}:4:")


def test_a_process_name_is_used_once_and_both_files_are_named(tmp_path: Path) -> None:
    first = process(tmp_path / "a", "order-goods", "shop.look")
    second = process(tmp_path / "b", "order-goods", "market.look")
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([tmp_path])
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"nowhere: there is no such folder; .*SUREFOOT_PROCESSES"):
        Catalog.load([tmp_path / "nowhere"])


def test_an_unknown_process_gets_close_names_and_the_folders_searched(tmp_path: Path) -> None:
    process(tmp_path / "a", "order-goods", "shop.look")
    catalog = Catalog.load([tmp_path])
    with pytest.raises(UnknownProcess, match=rf"'order-good'; did you mean order-goods\. Searched .*{tmp_path.name}"):
        catalog.definition("order-good")


def test_a_definition_is_compiled_again_only_when_its_file_changes(tmp_path: Path) -> None:
    file = process(tmp_path / "a", "order-goods", "shop.look")
    catalog = Catalog.load([tmp_path])
    before = catalog.definition("order-goods")
    assert catalog.definition("order-goods") is before
    file.write_text(file.read_text().replace("pen", "ink"))
    os.utime(file, ns=(1, 1))
    assert catalog.definition("order-goods").hash != before.hash


def test_one_broken_process_file_keeps_the_others_usable(tmp_path: Path) -> None:
    process(tmp_path / "good", "order-goods", "shop.look")
    write(tmp_path / "bad-one" / "process.yaml", "process: [unclosed\n")
    catalog = Catalog.load([tmp_path])
    assert catalog.definition("order-goods").process.process == "order-goods"
    with pytest.raises(DefinitionInvalid, match=r"process\.yaml:\d+:\d+"):
        catalog.definition("bad-one")


def test_a_file_anywhere_knows_the_tools_beside_it(tmp_path: Path) -> None:
    file = process(tmp_path / "elsewhere", "draft", "draft.look")
    (tmp_path / "known").mkdir()
    catalog = Catalog.load([tmp_path / "known"])
    assert set(catalog.definition_of_file(file).tools) == {"draft.look"}
    with pytest.raises(UnknownProcess, match="no such file"):
        catalog.definition_of_file(tmp_path / "missing.yaml")


def test_a_copy_of_a_process_may_bring_copies_of_its_tools_but_no_other_ones(tmp_path: Path) -> None:
    process(tmp_path / "known" / "a", "order-goods", "shop.look")
    catalog = Catalog.load([tmp_path / "known"])
    copy = process(tmp_path / "copy", "order-goods", "shop.look")
    assert set(catalog.definition_of_file(copy).tools) == {"shop.look"}
    write(tmp_path / "copy" / "tools.py", TOOLS.format(name="shop.look").replace("item: str", "item: float"))
    other = write(tmp_path / "copy" / "other.yaml", copy.read_text())
    with pytest.raises(DefinitionInvalid, match=r"'shop\.look' is defined in .*known"):
        catalog.definition_of_file(other)


def test_a_rehearsal_is_found_beside_its_process(tmp_path: Path) -> None:
    process(tmp_path / "a", "order-goods", "shop.look")
    process(tmp_path / "b", "sell-goods", "market.look")
    script = write(tmp_path / "a" / "rehearsal.yaml", "agents: {}\n")
    catalog = Catalog.load([tmp_path])
    assert catalog.rehearsal("order-goods") == script
    assert catalog.rehearsal("sell-goods") is None
    assert catalog.rehearsal("unheard-of") is None


DECLARED = """
    http:
      shop: {base: "https://shop.example.com", tools: {find: {path: "/items/{item}"}}}
"""


def test_tools_of_a_tools_yaml_are_known_to_processes_beside_it_and_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "tools.yaml", DECLARED)
    file = write(
        tmp_path / "find" / "process.yaml",
        """
        process: find
        steps:
          find: {tool: shop.find, with: {item: pen}}
        """,
    )
    catalog = Catalog.load([tmp_path])
    assert catalog.definition("find").tools["shop.find"].untrusted
    assert catalog.origins["shop.find"] == tmp_path / "tools.yaml"
    alone = tmp_path / "alone"
    write(alone / "tools.yaml", DECLARED)
    (alone / "process.yaml").write_text(file.read_text())
    assert set(Catalog.load([]).definition_of_file(alone / "process.yaml").tools) == {"shop.find"}


def test_a_name_is_used_once_in_python_and_out_of_it(tmp_path: Path) -> None:
    process(tmp_path / "a", "order-goods", "shop.find")
    write(tmp_path / "b" / "tools.yaml", DECLARED)
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([tmp_path])
    (problem,) = caught.value.problems
    assert "tool 'shop.find' is defined in" in problem.message
    assert Path(problem.file).name == "tools.yaml"
    assert problem.line == 3


def test_mistakes_of_a_tools_yaml_come_with_those_of_tools_py(tmp_path: Path) -> None:
    write(tmp_path / "a" / "tools.py", "x = 1 / 0\n")
    write(tmp_path / "b" / "tools.yaml", "http: {shop: {}}\n")
    with pytest.raises(DefinitionInvalid) as caught:
        Catalog.load([tmp_path])
    said = [problem.message for problem in caught.value.problems]
    assert said == ["ZeroDivisionError: division by zero", "`base` is missing", "`tools` is missing"]
