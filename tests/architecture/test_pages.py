"""What the pages for newcomers point at is there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.project import ROOT

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(f"docs/{page.name}" for page in ROOT.glob("docs/*.md")),
]
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
MADE_LATER = (".venv/", ".uv/", ".surefoot/")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    targets = [target for target, _ in LINK.findall((ROOT / page).read_text()) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_headings(page: str) -> None:
    links = [(target, anchor) for target, anchor in LINK.findall((ROOT / page).read_text()) if anchor]
    pages = {target: ROOT / page if not target else (ROOT / page).parent / target for target, _ in links}
    assert [(to, anchor) for to, anchor in links if "://" not in to and anchor not in anchors(pages[to])] == []


def anchors(page: Path) -> set[str]:
    """The names that Git hosts give headings: lower case, words joined by hyphens, no other signs."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(page.read_text())}


def test_the_map_names_what_is_there() -> None:
    named = CODE.findall((ROOT / "CONTRIBUTING.md").read_text())
    paths = [
        name for name in named if re.fullmatch(r"[\w./-]+(/|\.py|\.toml)", name) and not name.startswith(MADE_LATER)
    ]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ".ci/run", ".pre-commit-config.yaml"])
def test_make_targets_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"(?:^\$ |`|entry: |^)make ([a-z-]+)", text, re.MULTILINE))
    offered = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named <= set(re.findall(r"^  make ([a-z-]+)", offered, re.MULTILINE))
