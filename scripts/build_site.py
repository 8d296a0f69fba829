"""Build the pages as a site in build/site (`make docs`), or show it on this machine (`make site`).

The pages are written for the repository, where their links lead to its files. Here they are copied
into one folder, each link is written anew, and zensical builds them in strict mode: a link or an
anchor that leads nowhere ends the build. A page that loads anything from another host ends it too.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build"
SETTINGS: Final = ROOT / "scripts/site.toml"
STYLE: Final = ROOT / "scripts/site.css"
PORT: Final = 8090
"""Of `make site`; beside 8000 and 8080, which the pages use."""
FRONT_PAGE_ENDS: Final = "<!-- the front page of the site ends here -->"

MOVED: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
"""Pages outside of docs/, and where they are on the site. Examples: examples/NAME.md."""

SHOWN: Final = (".github/", "deploy/", "edge/deploy/", "examples/")
"""Folders whose files are on the site, as text, where a page links to them."""

Section = tuple[str, Sequence[str]]
NAVIGATION: Final[Sequence[tuple[str, Sequence[Section]]]] = (
    ("Tutorial", (("", ("tutorial/*",)),)),
    (
        "How to",
        (
            (
                "Run an edge",
                (
                    "howto/vps.md",
                    "howto/operate.md",
                    "howto/postgresql.md",
                    "howto/cluster.md",
                    "howto/monitoring.md",
                    "howto/containers.md",
                    "howto/access.md",
                    "howto/dashboard.md",
                    "howto/owners.md",
                    "howto/pages.md",
                    "howto/tracing.md",
                    "howto/alerts.md",
                    "howto/https-dns.md",
                    "howto/behind-a-proxy.md",
                    "howto/custom-domains.md",
                    "howto/end-to-end.md",
                ),
            ),
            (
                "Frameworks",
                (
                    "howto/fastapi.md",
                    "howto/starlette.md",
                    "howto/django.md",
                    "howto/channels.md",
                    "howto/daphne.md",
                    "howto/litestar.md",
                    "howto/quart.md",
                    "howto/flask.md",
                    "howto/any-framework.md",
                    "howto/visitor.md",
                    "howto/mcp.md",
                    "howto/notebooks.md",
                    "howto/webdav.md",
                    "howto/inspect.md",
                ),
            ),
            ("Coming from", ("howto/coming-from-*",)),
            ("Examples", ("examples/*",)),
            ("More", ("howto/services.md", "howto/testing.md", "howto/*")),
        ),
    ),
    (
        "Reference",
        (
            (
                "",
                (
                    "reference/*",
                    "limits.md",
                    "protocol.md",
                    "reference/schemas/*/*",
                    "deploy/*/*",
                    "edge/deploy/*/*",
                ),
            ),
        ),
    ),
    (
        "Explanation",
        (
            (
                "",
                (
                    "architecture.md",
                    "reliability.md",
                    "scale.md",
                    "security.md",
                    "threats.md",
                    "performance.md",
                    "pacing.md",
                    "compatibility.md",
                    "out-of-scope.md",
                    "glossary.md",
                ),
            ),
            ("Decisions", ("adr/index.md", "adr/*")),
        ),
    ),
    (
        "Project",
        (("", ("changelog.md", "contributing.md", "style.md", "reporting.md", "*")),),
    ),
)
"""Tabs, their groups, and the pages in each; a pattern takes what nothing before it has taken."""

_FENCE: Final = re.compile(r" *(`{3,})")
_COMMENT: Final = re.compile(r" *<!-- .* -->\s*")
_NUMBERED: Final = re.compile(r"\d+\. ")
_LINK: Final = re.compile(r"`[^`]*`|\]\((?P<target>[^)\s]+)\)")
_LOADS: Final = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_ADDRESS: Final = re.compile(r"(?:https?:)?//")
_STYLE_ADDRESS: Final = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")


class SiteError(Exception):
    """The site cannot be built; the text says which page and why."""


# -- pages of the repository -> pages of the site --------------------------------------------------


def sources(root: Path) -> dict[str, str]:
    """Map each page and picture of the repository to its path on the site, both from their root."""
    found = dict(MOVED)
    for path in sorted((root / "docs").rglob("*")):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            found[name] = name.removeprefix("docs/")
    for path in sorted(root.glob("examples/*/README.md")):
        found[path.relative_to(root).as_posix()] = f"examples/{path.parent.name}.md"
    return found


@dataclass(frozen=True, slots=True)
class Converter:
    """Writes a page of the repository as one of the site."""

    root: Path
    places: dict[str, str]  # of the repository -> of the site; gets what pages link to of SHOWN

    def convert(self, name: str) -> str:
        """Return the text of a page, with links of the site and lists as Markdown wants them.

        Raises:
            SiteError: A link leads to a file that is not on the site.
        """
        text = (self.root / name).read_text(encoding="utf-8").partition(FRONT_PAGE_ENDS)[0]
        converted: list[str] = []
        for is_block, lines in _parts(_indented(text.splitlines())):
            if is_block:
                converted += lines
            else:
                prose = "\n".join(line for line in lines if not _COMMENT.fullmatch(line))
                converted.append("\n\n".join(self._links(name, one) for one in prose.split("\n\n")))
        return "\n".join(converted).rstrip("\n") + "\n"

    def _links(self, name: str, paragraph: str) -> str:
        def replaced(match: re.Match[str]) -> str:
            target = match["target"]
            if target is None or re.match(r"[a-z]+:|#", target):
                return match[0]
            return f"]({self._target(name, target)})"

        return _LINK.sub(replaced, paragraph)

    def _target(self, name: str, target: str) -> str:
        path, hash_, anchor = target.partition("#")
        found = os.path.normpath((Path(name).parent / path).as_posix())
        if (self.root / found).is_dir():
            found += "/"
        if found.startswith(SHOWN):
            self._show(found)
        place = self.places.get(found)
        if place is None:
            raise SiteError(f"{name}: the link {target} leads to nothing that is on the site.")
        here = Path(self.places[name]).parent
        return Path(os.path.relpath(place, here)).as_posix() + hash_ + anchor

    def _show(self, found: str) -> None:
        """Put a file on the site as text, which a browser shows, or a folder with its files."""
        path = self.root / found
        if path.is_file():
            self.places.setdefault(found, f"{found.removeprefix('.')}.txt")
        elif path.is_dir() and found not in self.places:
            self.places[found] = f"{found}index.md"
            for one in sorted(path.iterdir()):
                if one.is_file():
                    self._show(f"{found}{one.name}")


def _indented(lines: Sequence[str]) -> Iterator[str]:
    """Give what belongs to a numbered item four spaces, where the repository's host needs three."""
    inside = False
    for line in lines:
        if _NUMBERED.match(line):
            inside = True
        elif line and not line.startswith("   "):
            inside = False
        yield f" {line}" if inside and line.startswith("   ") else line


def _parts(lines: Iterator[str]) -> Iterator[tuple[bool, list[str]]]:
    """Cut a page into fenced blocks (True) and what stands between them."""
    part: list[str] = []
    fence = ""
    for line in lines:
        match = _FENCE.match(line)
        if match and not fence:
            yield False, part
            part, fence = [line], match[1]
        elif match and fence and line.strip() == fence:
            yield True, [*part, line]
            part, fence = [], ""
        else:
            part.append(line)
    yield bool(fence), part


def title(text: str) -> str:
    """Return a page's heading."""
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), "")


def listing(folder: Path, suffix: str = "") -> str:
    """Return a page that lists a folder, which has none; files have a suffix on the site."""
    names = sorted(path for path in folder.iterdir() if path.is_file())
    rows: list[str] = []
    for one in names:
        shown = title(one.read_text("utf-8")) if one.suffix == ".md" else one.name
        rows.append(f"- [{shown}]({one.name}{suffix})")
    heading = "Decisions" if folder.name == "adr" else f"Files of {folder.name}"
    return "\n".join([f"# {heading}", "", *rows, ""])


def navigation(pages: Mapping[str, str]) -> list[dict[str, object]]:
    """Return the tabs, groups and pages, for a map of each page of the site to its title."""
    left = set(pages) - {"index.md"}

    def taken(patterns: Sequence[str]) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = []
        for pattern in patterns:
            for page in sorted(one for one in left if Path(one).match(pattern)):
                left.remove(page)
                entries.append({pages[page]: page})
        return entries

    tabs: list[dict[str, object]] = [{"Home": "index.md"}]
    for name, sections in NAVIGATION:
        entries: list[dict[str, object]] = []
        for heading, patterns in sections:
            group = taken(patterns)
            entries += [{heading: group}] if heading and group else group
        tabs.append({name: entries})
    return tabs


def prepare(root: Path, folder: Path) -> dict[str, str]:
    """Write the pages of the site into a folder; return their titles by path.

    Raises:
        SiteError: A link leads to a file that is not on the site.
    """
    shutil.rmtree(folder, ignore_errors=True)
    files = sources(root)
    folders = {f"{Path(one).parent.as_posix()}/" for one in files}
    with_page = {f"{Path(one).parent.as_posix()}/" for one in files if one.endswith("README.md")}
    listed = {one: f"{one.removeprefix('docs/')}index.md" for one in folders - with_page}
    places = {**listed, **files}
    converter = Converter(root, places)
    titles: dict[str, str] = {}
    for name, place in files.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            text = converter.convert(name)
            titles[place] = title(text)
            target.write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(root / name, target)
    for name in places.keys() - files.keys() - listed.keys():
        target = folder / places[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            text = listing(root / name, ".txt")
            titles[places[name]] = title(text)
            target.write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(root / name, target)
    for name, place in listed.items():
        if place.startswith(("adr/", "reference/schemas/")) and len(Path(place).parts) > 1:
            text = listing(root / name)
            titles[place] = title(text)
            (folder / place).write_text(text, encoding="utf-8")
    shutil.copyfile(STYLE, folder / "site.css")
    return titles


# -- the built site --------------------------------------------------------------------------------


class _Loads(HTMLParser):
    """Collects what a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of a script, a style sheet, a picture or a frame."""
        address = dict(attrs).get(_LOADS.get(tag, ""))
        if address and _ADDRESS.match(address):
            self.addresses.append(address)


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """Yield a sentence for each thing that a page or a style sheet loads from another host."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            parser = _Loads()
            parser.feed(path.read_text(encoding="utf-8"))
            found = parser.addresses
        elif path.suffix == ".css":
            found = _STYLE_ADDRESS.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        for address in found:
            yield f"{path.relative_to(site)} loads {address}; the site loads nothing from elsewhere"


def build(root: Path = ROOT, folder: Path = BUILD) -> Path:
    """Build the site; return its folder.

    Raises:
        SiteError: A link, an anchor or an address is wrong; what zensical found is on stderr.
    """
    folder.mkdir(exist_ok=True)
    titles = prepare(root, folder / "site-pages")
    settings = SETTINGS.read_text(encoding="utf-8")
    entries = ", ".join(_toml(tab) for tab in navigation(titles))
    settings = settings.replace("nav = []", f"nav = [{entries}]", 1)
    tomllib.loads(settings)
    (folder / "site.toml").write_text(settings, encoding="utf-8")
    command = ["zensical", "build", "--clean", "--strict", "-f", str(folder / "site.toml")]
    program = shutil.which(command[0], path=Path(sys.executable).parent) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SiteError(f"zensical found mistakes in the pages:\n{done.stdout.strip()}")
    wrong = list(loaded_from_elsewhere(folder / "site"))
    if wrong:
        raise SiteError("\n".join(wrong))
    return folder / "site"


def _toml(entry: Mapping[str, object]) -> str:
    """Write an entry of the navigation: one key with a path or a list of entries."""
    ((name, value),) = entry.items()
    shown = f"[{', '.join(_toml(one) for one in value)}]" if isinstance(value, list) else ""
    return f"{{ {json.dumps(name)} = {shown or json.dumps(value)} }}"


def main() -> int:
    """Build the site, and with `--serve` show it until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Build the pages as a site in build/site.")
    parser.add_argument("--serve", action="store_true", help="show it on this machine")
    parser.add_argument("--port", type=int, default=PORT, help=f"of --serve; default {PORT}")
    arguments = parser.parse_args()
    try:
        site = build()
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.serve:
        handler = functools.partial(SimpleHTTPRequestHandler, directory=site)
        with ThreadingHTTPServer(("127.0.0.1", arguments.port), handler) as server:
            print(f"http://127.0.0.1:{server.server_port}/ shows build/site; Ctrl-C ends it")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
