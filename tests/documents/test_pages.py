"""The examples in the documents, run as they stand, on real nodes where they need them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.documents.page import PageError, examples, run_page

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "<!-- run on" in page.read_text("utf-8")], ids=lambda p: p.stem
)
def test_the_examples_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    """Each example of a page ends as the page says, one after the other, on the machines it names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("P2P_WORKFLOW_")}
    kept = {name: os.environ[name] for name in ("P2P_WORKFLOW_IPFS",) if name in os.environ}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # where Kubo was built, once for all
    assert run_page(page, tmp_path, environment | kept | {"XDG_CACHE_HOME": cache})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_says_how_it_is_run(page: Path) -> None:
    """No example stands in a document unseen: each is run, or says why not."""
    list(examples(page))


def test_an_example_that_does_not_say_how_it_is_run_is_a_fault(tmp_path: Path) -> None:
    """No example can stand in a page without being run, or a reason why not."""
    page = tmp_path / "page.md"
    page.write_text("# T\n\n```bash\ntrue\n```\n", encoding="utf-8")
    with pytest.raises(PageError, match=r"page\.md:3"):
        list(examples(page))


def test_an_example_that_fails_is_a_fault(tmp_path: Path) -> None:
    """An example that ends otherwise than the page says fails the page, and what it printed is shown."""
    page = tmp_path / "page.md"
    page.write_text("<!-- run on a -->\n```bash\necho told; exit 3\n```\n", encoding="utf-8")
    with pytest.raises(PageError, match=r"ended with 3, not 0:\ntold"):
        run_page(page, tmp_path, {})
    page.write_text("<!-- run on a, exit 3 -->\n```bash\nexit 3\n```\n", encoding="utf-8")
    assert run_page(page, tmp_path, {}) == 1
