"""The site of the documents: it builds strictly, and needs nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import quilt_packager

ROOT = Path(__file__).parents[2]
CODE = ("examples", "lambda_src", "quilt_packager")
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """The links, anchors and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the attributes of an element that lead elsewhere, or here."""
        found = dict(attrs)
        self.anchors |= {each for name in ("id", "name") if (each := found.get(name))}
        if tag == "a" and (href := found.get("href")):
            self.links.add(href)
        if tag in LOADING and (address := found.get(LOADING[tag])):
            self.loads.add(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("zensical.toml", "SECURITY.md"):
        shutil.copy(ROOT / name, folder)
    for name in CODE:
        (folder / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = sorted(site.rglob("*.html"))
    return {path: Page(path.read_text("utf-8")) for path in found if path.name != "404.html"}


def target_of(site: Path, page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor that a link of a page leads to."""
    address = urlsplit(link)
    path = unquote(address.path)
    start = site if path.startswith("/") else page.parent
    target = (start / path.lstrip("/")).resolve() if path else page
    return (target / "index.html" if target.is_dir() else target), unquote(address.fragment)


def test_links_of_the_site_lead_to_pages_and_anchors(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links | page.loads:
            if urlsplit(link).scheme:
                continue
            target, anchor = target_of(site, path, link)
            known = pages[target].anchors if target in pages else set()
            if not target.exists() or (anchor and anchor != "__skip" and anchor not in known):
                dead.append((str(path.relative_to(site)), link))
    assert dead == []


def test_the_site_loads_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert {
        each for page in pages.values() for each in page.loads if urlsplit(each).scheme
    } == set()


def test_each_page_is_in_the_navigation() -> None:
    config = (ROOT / "zensical.toml").read_text("utf-8")
    named = set(re.findall(r'"([\w/-]+\.md)"', config.partition("nav = [")[2]))
    documents = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert tomllib.loads(config)["project"]["docs_dir"] == "docs"
    assert named == {each for each in documents if not each.startswith("adr/")} | {"adr/README.md"}


def test_the_reference_has_each_public_name(site: Path, pages: dict[Path, Page]) -> None:
    reference = pages[site / "reference" / "api" / "index.html"]
    names = {f"quilt_packager.{name}" for name in quilt_packager.__all__}
    assert names - reference.anchors == set()


def test_the_reference_has_each_prop(site: Path, pages: dict[Path, Page]) -> None:
    reference = pages[site / "reference" / "api" / "index.html"]
    props = {
        f"quilt_packager.EngineProps.{name}" for name in quilt_packager.EngineProps.__annotations__
    }
    assert props
    assert props - reference.anchors == set()


def test_examples_show_each_example() -> None:
    text = (ROOT / "docs" / "reference" / "examples.md").read_text("utf-8")
    shown = re.findall(r'--8<-- "examples/(\w+\.py)"', text)
    assert shown == sorted(path.name for path in ROOT.glob("examples/*.py"))
