"""Documents name what is there: files, headings, tests; and decisions are listed, dated and numbered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
NOT_OURS = {".git", "node_modules", "build", "dist"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in NOT_OURS or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
DECISIONS = ROOT / "docs" / "decisions"


def links(text: str) -> list[str]:
    """Where a document's links lead, pictures among them, but for those that lead out of the repository."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)


def anchors(text: str) -> set[str]:
    """What GitHub calls a document's headings in links."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(document: Path) -> list[str]:
    """The links of a document that lead nowhere."""
    found = []
    for link in links(document.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = document if not name else document.parent / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


def named_tests(text: str) -> list[tuple[str, str]]:
    """The tests that a document names as `file.py::name`."""
    return re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)


def missing_tests(text: str) -> list[str]:
    """Those that are in no such file below tests."""
    return [
        f"{file}::{name}"
        for file, name in named_tests(text)
        if not any(
            re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
            for path in (ROOT / "tests").rglob(file)
        )
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_what_is_there(document: Path) -> None:
    assert broken(document) == []


def test_the_check_of_links_can_fail(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# One head\n[a](gone.md) [b](#one-head) [c](#none) ![d](gone.png) [e](https://example.org)\n")
    assert broken(document) == ["gone.md", "#none", "gone.png"]


def test_the_documents_that_people_begin_with_are_among_them() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert names >= {"README.md", "CONTRIBUTING.md", "docs/design.md", "docs/logging.md", "docs/decisions/README.md"}


@pytest.mark.parametrize("name", ["docs/design.md", "docs/reliability.md", "CONTRIBUTING.md"])
def test_the_tests_that_a_document_names_are_there(name: str) -> None:
    assert missing_tests((ROOT / name).read_text(encoding="utf-8")) == []


def test_the_check_of_named_tests_can_fail() -> None:
    here = "test_documents.py::test_the_check_of_named_tests_can_fail"
    assert missing_tests(f"`{here}` `test_documents.py::test_none` `test_no.py::test_a`") == [
        "test_documents.py::test_none",
        "test_no.py::test_a",
    ]


def test_each_law_names_a_test_that_holds_it() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    laws = re.search(r"^## Laws\n(.*?)^## ", design, re.MULTILINE | re.DOTALL)
    assert laws is not None
    rows = [line for line in laws[1].splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 10
    assert [row for row in rows if not named_tests(row)] == []


@pytest.mark.parametrize(
    ("name", "most"), [("README.md", 6_000), ("docs/design.md", 10_000), ("CONTRIBUTING.md", 6_000)]
)
def test_what_is_to_be_read_at_one_go_stays_short(name: str, most: int) -> None:
    assert len((ROOT / name).read_bytes()) <= most


def test_decisions_are_numbered_dated_and_listed_under_their_titles() -> None:
    listed = re.findall(
        r"^- \[(\d{4})\]\((\S+)\) (.+) \((\d{4}-\d\d-\d\d)\)$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    pages = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    said = []
    for number, page in enumerate(pages, start=1):
        head, _, date = page.read_text(encoding="utf-8").splitlines()[:3]
        title = head.removeprefix(f"# {number}. ")
        assert (page.name[:5], title != head) == (f"{number:04}-", True)
        said.append((f"{number:04}", page.name, title, date[:10]))
    assert listed == said


def test_the_sdist_would_hold_the_documents() -> None:
    grafted = re.findall(r"^graft (\S+)$", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE)
    included = re.findall(r"\S+\.md", (ROOT / "MANIFEST.in").read_text())
    assert {"docs", "examples"} <= set(grafted)
    assert {"CHANGELOG.md", "CONTRIBUTING.md"} <= set(included)


def test_each_report_is_made_by_a_program_that_writes_it_there() -> None:
    reports = {path.name for path in (ROOT / "docs" / "reports").glob("*.md")} - {
        "tests.md"
    }  # what was measured by hand
    programs = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    made = "\n".join(path.read_text(encoding="utf-8") for path in programs)
    assert reports == {*re.findall(r'"docs" / "reports" / "(\w+\.md)"', made)}
    assert len(reports) == 6
