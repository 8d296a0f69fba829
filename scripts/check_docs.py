"""Check that the pages say what the code does (`make docs`).

Relative links lead somewhere, Python blocks compile, commands in shell blocks exist with their
options, and the tables of settings, options, errors and limits list exactly what there is.
The tests that a page names exist.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asgi_tunnel
import asgi_tunnel.config
from asgi_tunnel import cli as app_cli
from asgi_tunnel.services.settings import KEYS
from asgi_tunnel_edge import cli as edge_cli
from asgi_tunnel_edge.settings.acme import AcmeConfig
from asgi_tunnel_edge.settings.check import Setting, settings_of
from asgi_tunnel_edge.settings.config import (
    AccessLogConfig,
    AlertsConfig,
    EdgeConfig,
    GuardsConfig,
    HostnameConfig,
    Limits,
    MetricsConfig,
    ProxiesConfig,
    TlsConfig,
    TracingConfig,
)

if TYPE_CHECKING:
    from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = ("*.md", "edge/*.md", "docs/**/*.md", "examples/*/*.md")
SHELLS: Final = frozenset({"bash", "console", "sh"})
MAINS: Final[Mapping[str, Callable[[list[str]], Any]]] = {
    "asgi-tunnel": app_cli.main,
    "asgi-tunnel-edge": lambda words: edge_cli.main(words, prog_name="asgi-tunnel-edge"),
}
OURS: Final = frozenset(MAINS)
OTHERS: Final = frozenset(
    {
        ".",
        "apt-get",
        "curl",
        "daphne",
        "dig",
        "export",
        "fastapi",
        "flask",
        "hypercorn",
        "install",
        "journalctl",
        "litestar",
        "make",
        "pip",
        "pytest",
        "quart",
    }
    | {"cd", "chmod", "chown", "docker"}  # docs/howto/containers.md
    | {"python", "python3", "ss", "systemctl", "tsig-keygen", "useradd", "uvicorn"}
)
PREFIXES: Final = frozenset({"runuser"})  # commands that run another one; its options are skipped
COMMON_OPTIONS: Final = frozenset({"--data", "--help", "--json", "--version"})
CONFIG_PAGE: Final = "docs/reference/config.md"
CLI_PAGE: Final = "docs/reference/cli.md"
SERVICES_PAGE: Final = "docs/reference/services.md"
ERRORS_PAGE: Final = "docs/reference/errors.md"
LIMITS_PAGE: Final = "docs/limits.md"

SOURCES: Final = ("src", "edge/src")
NOT_LIMITS: Final = re.compile(
    r"""
    asgi_tunnel\.protocol\.limits\..*  # a table of their own, which a test compares
    | asgi_tunnel\.testing\..*  # for tests of apps, on no server
    # Numbers of formats and systems: they bound nothing.
    | .*\.(?:NO_NUMBER|NEWLINE|PRIVATE|PRIVATE_DIRECTORY|FIRST_UNSEQUENCED|EXIT_[A-Z]+)
    | .*\._(?:BITS|MAPPED|PERCENT|VERSION|ID_LENGTH|BESIDE_BULK|AVOIDED|NO_RETRY|TCP_GONE)
    | .*\._(?:M_[A-Z_]+|PR_[A-Z_]+|REFUSED|UNUSABLE|MAX_PORT)
    | .*\.protocol\.head\._[A-Z]+_(?:SIZE|LINES|PARTS)
    | .*\.identity\.proxy_protocol\._.* | .*\.listeners\.client_hello\._.*
    | .*\.(?:transport\._MAX_HEADER|websocket_frames\._HEADER|body\._CRLFS)
    | .*\.(?:log_file|parent\.lines)\._MODE
    | .*\.websocket_frames\.[A-Z]+ | .*\.transport\._(?:BINARY|CLOSE|PONG|MASKED)
    | .*\.dns\.(?:wire|caa)\.(?:_[A-Z]+|_MAX_(?:LABEL|NAME)|CLASS_IN|HEADER_SIZE)
    | .*\.(?:dns\.hook\._PIPE|dns\.records\.WIDTH|dns\.server\._ANCILLARY|zone\._MAX_TCP_REPLY)
    | .*\.(?:acme\.jws\._COORDINATE|acme\.schedule\.HOUR|encryption\._(?:KEY|NONCE))
    | .*\.commands\.(?:archive\._FORMAT|doctor_folder\.\w*_OTHERS|service_install\._READABLE)
    | .*\.parent\.renewal\.FORMAT
    | .*\.pages\.rendering\.[A-Z_]+  # which variant of a page
    | asgi_tunnel\.asgi\.websocket\.[A-Z_]+  # close codes
    | asgi_tunnel\.services\.(?:settings\._REDIRECTS|proxy\.relay\._LOST)  # codes
    """,
    re.VERBOSE,
)
"""Constants that stand in no table of limits."""

NOTES: Final = frozenset({"file", "not run", "part of", "run by", "typed on"})
"""What a comment above a block may say to the tests of the pages: `<!-- not run: why -->`."""

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_NOTE: Final = re.compile(r" *<!-- (?P<name>[a-z ]+): (?P<value>.+) -->\s*")
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`]+)`")
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    line: int  # of its first line
    language: str
    text: str  # without the indentation of a list
    notes: dict[str, str]  # of the comments right above it: name, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page, taken apart: blocks, and prose with the blocks' lines left empty."""

    path: Path
    blocks: list[Block]
    prose: list[str]

    @classmethod
    def read(cls, path: Path) -> Page:
        """Read a Markdown file."""
        blocks, prose = [], []
        language, start, lines = "", 0, list[str]()
        notes: dict[str, str] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            fence, note = _FENCE.match(line), _NOTE.fullmatch(line)
            prose.append("" if fence or start else line)
            if fence and not start:
                language, start, lines = fence["language"], number + 1, []
            elif fence:
                text = textwrap.dedent("\n".join(lines))
                blocks.append(Block(line=start, language=language, text=text, notes=notes))
                start, notes = 0, {}
            elif start:
                lines.append(line)
            elif note:
                notes[note["name"]] = note["value"]
            else:
                notes = {}
        return cls(path=path, blocks=blocks, prose=prose)

    @property
    def name(self) -> str:
        """Its path from the root."""
        return self.path.relative_to(ROOT).as_posix()

    def anchors(self) -> set[str]:
        """What `#...` in a link may name: the headings, as GitHub spells them."""
        titles = [line.lstrip("#").strip() for line in self.prose if line.startswith("#")]
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def section(self, heading: str) -> list[str]:
        """The prose from a heading that begins like this up to the next heading."""
        found: list[str] = []
        inside = False
        for line in self.prose:
            if line.startswith("#"):
                inside = line.startswith(heading)
            elif inside:
                found.append(line)
        return found


# -- each check yields "page:line: what is wrong" --------------------------------------------------


def check_links(page: Page) -> Iterator[str]:
    """Every relative link leads to a file, and its anchor to a heading."""
    for number, line in enumerate(page.prose, 1):
        for match in _LINK.finditer(_SPAN.sub("", line)):
            target, _, anchor = match["target"].partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (page.path.parent / target).resolve() if target else page.path
            if not path.exists():
                yield f"{page.name}:{number}: the link {match['target']} leads nowhere"
            elif anchor and path.suffix == ".md" and anchor not in Page.read(path).anchors():
                yield f"{page.name}:{number}: {match['target']} names no heading of that page"


def check_blocks(page: Page) -> Iterator[str]:
    """Python compiles, and commands in shell blocks exist."""
    for block in page.blocks:
        if block.language == "python":
            try:
                compile(block.text, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            except SyntaxError as error:
                line = block.line + (error.lineno or 1) - 1
                yield f"{page.name}:{line}: this Python does not compile: {error.msg}"
        elif block.language in SHELLS:
            for number, command in _commands(block):
                for wrong in _wrong_with(command):
                    yield f"{page.name}:{number}: {wrong}"
    for at, prose in enumerate(page.prose, 1):
        for span in (match[1].split() for match in _SPAN.finditer(prose)):
            if len(span) > 1 and span[0] in OURS:
                for wrong in _wrong_with(span):
                    yield f"{page.name}:{at}: {wrong}"


def check_notes(page: Page) -> Iterator[str]:
    """A block names its language, and what is noted above it is known and true."""
    text = page.path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(text, 1):
        note = _NOTE.fullmatch(line)
        if note and note["name"] in NOTES and not re.match(r" *(```|<!-- )", text[number]):
            yield f"{page.name}:{number}: the note stands above no block"
    for block in page.blocks:
        if not block.language:
            yield f"{page.name}:{block.line}: the block names no language; a drawing is `text`"
        for name in block.notes:
            if name not in NOTES:
                yield f"{page.name}:{block.line}: there is no note {name!r}; {sorted(NOTES)}"
        if (test := block.notes.get("run by")) is not None:
            file = ROOT / test
            if not file.exists() or page.path.name not in file.read_text("utf-8"):
                yield f"{page.name}:{block.line}: {test} does not read this page"
        if (source := block.notes.get("part of")) is not None:
            file = ROOT / source
            given = file.read_text("utf-8").splitlines() if file.exists() else []
            for line in block.text.splitlines():
                if line.partition("  #")[0] not in {one.partition("  #")[0] for one in given}:
                    yield f"{page.name}:{block.line}: {source} has no line {line!r}"


def _commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """The commands of a shell block, in words; in a console only lines with a prompt are typed."""
    for number, line in enumerate(block.text.splitlines(), block.line):
        if block.language == "console" and not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("&|;"):
                words.append(word)
            elif words:
                yield number, words
                words = []


def _wrong_with(words: list[str]) -> Iterator[str]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words and words[0] in PREFIXES:
        words = words[4:]  # runuser -u USER --
    if not words:
        return
    name = Path(words[0]).name or words[0]
    if name not in OURS:
        if name not in OTHERS:
            yield f"{words[0]} is no command that these pages know"
        return
    arguments = words[1:]
    path = [name]
    while arguments and not arguments[0].startswith("-") and _has_commands(tuple(path)):
        path.append(arguments.pop(0))
        if help_of(tuple(path)) is None:
            yield f"there is no command {' '.join(path)}"
            return
    known = set(_OPTION.findall(help_of(tuple(path)) or ""))
    for option in _OPTION.findall(" ".join(arguments)):
        if option not in known:
            yield f"{' '.join(path)} has no option {option}"


@cache
def help_of(path: tuple[str, ...]) -> str | None:
    """What a command of ours prints for --help; None where there is no such command."""
    # In this process: one of its own for each of a hundred commands takes a minute.
    said, code = StringIO(), None
    with redirect_stdout(said), redirect_stderr(StringIO()):
        try:
            MAINS[path[0]]([*path[1:], "--help"])
        except SystemExit as end:
            code = end.code
    return said.getvalue() if not code else None


def _has_commands(path: tuple[str, ...]) -> bool:
    return "COMMAND" in (help_of(path) or "").split("\n", 1)[0]


def check_variables(page: Page) -> Iterator[str]:
    """A table of the app side's variables lists all of them, and no other."""
    known = {
        value
        for value in vars(asgi_tunnel.config).values()
        if isinstance(value, str) and value.startswith("ASGI_TUNNEL_")
    }
    listed = set(_first_cells(page.prose, r"ASGI_TUNNEL_\w+"))
    if listed:
        yield from _compare(page, "variables", listed=listed, known=known)


def check_arguments(page: Page) -> Iterator[str]:
    """The tables of arguments list what Tunnel, run and serve take."""
    if page.name != CONFIG_PAGE:
        return
    known: set[str] = set()
    for function in (asgi_tunnel.Tunnel, asgi_tunnel.run, asgi_tunnel.serve):
        known |= set(inspect.signature(function).parameters)
    lines = page.section("## The app's side")
    second = re.compile(r"^\| `ASGI_TUNNEL_\w+` \| `(\w+)` ")
    listed = {match[1] for line in lines if (match := second.match(line))}
    listed |= set(_first_cells(lines, r"[a-z_]+"))
    yield from _compare(page, "arguments", listed=listed, known=known - {"app"})


def check_edge_settings(page: Page) -> Iterator[str]:
    """The tables of edge.toml list its keys, with their defaults."""
    if page.name != CONFIG_PAGE:
        return
    tables: dict[str, type[Struct]] = {
        "## The edge": EdgeConfig,
        "### `[tls]`": TlsConfig,
        "### `[acme]`": AcmeConfig,
        "### `[limits]`": Limits,
        "### `[proxies]`": ProxiesConfig,
        "### `[guards]`": GuardsConfig,
        '### `[hostnames."': HostnameConfig,
        "### `[metrics]`": MetricsConfig,
        "### `[tracing]`": TracingConfig,
        "### `[alerts]`": AlertsConfig,
        "### `[access_log]`": AccessLogConfig,
    }
    for heading, struct in tables.items():
        lines = page.section(heading)
        settings = settings_of(struct)
        known = {one.name for one in settings.values() if one.in_file and one.table is None}
        listed = set(_first_cells(lines, r"[a-z_]+"))
        yield from _compare(page, f"keys of {heading}", listed=listed, known=known)
        for name in known & listed:
            row = next(line for line in lines if line.startswith(f"| `{name}` "))
            given = row.split("|")[2].strip().strip("`").strip('"')
            if (default := _default(settings[name])) is not None and given != default:
                yield f"{page.name}: {name} has the default {default}, the table says {given}"


def check_service_keys(page: Page) -> Iterator[str]:
    """The table of the services' keys lists all of them, and no other."""
    if page.name == SERVICES_PAGE:
        listed = set(_first_cells(page.section("## Keys"), r"[a-z_]+"))
        yield from _compare(page, "keys of a service", listed=listed, known=set(KEYS))


def _default(setting: Setting) -> str | None:
    """A plain default as a page writes it; None where the page says it in words."""
    if isinstance(setting.default, bool):
        return str(setting.default).lower()
    return str(setting.default) if isinstance(setting.default, str | int | float) else None


def check_options(page: Page) -> Iterator[str]:
    """The tables of the commands list their options."""
    if page.name != CLI_PAGE:
        return
    commands = {
        "## `asgi-tunnel run": ("asgi-tunnel", "run"),
        "### `service add": ("asgi-tunnel", "service", "add"),
        "## `asgi-tunnel doctor": ("asgi-tunnel", "doctor"),
        "## `asgi-tunnel token check": ("asgi-tunnel", "token", "check"),
        "## `asgi-tunnel inspect": ("asgi-tunnel", "inspect"),
        "### `inspect replay": ("asgi-tunnel", "inspect", "replay"),
        "### `inspect save": ("asgi-tunnel", "inspect", "save"),
        "## `asgi-tunnel url": ("asgi-tunnel", "url"),
        "### `init": ("asgi-tunnel-edge", "init"),
        "### `run": ("asgi-tunnel-edge", "run"),
        "### `token create": ("asgi-tunnel-edge", "token", "create"),
        "### `token limit": ("asgi-tunnel-edge", "token", "limit"),
        "### `token list": ("asgi-tunnel-edge", "token", "list"),
        "### `token revoke": ("asgi-tunnel-edge", "token", "revoke"),
        "### `token rotate": ("asgi-tunnel-edge", "token", "rotate"),
        "### `token show": ("asgi-tunnel-edge", "token", "show"),
        "### `backup": ("asgi-tunnel-edge", "backup"),
        "### `restore": ("asgi-tunnel-edge", "restore"),
        "### `config check": ("asgi-tunnel-edge", "config", "check"),
        "### `config show": ("asgi-tunnel-edge", "config", "show"),
        "### `config pages": ("asgi-tunnel-edge", "config", "pages"),
        "### `host maintenance on": ("asgi-tunnel-edge", "host", "maintenance", "on"),
        "### `doctor": ("asgi-tunnel-edge", "doctor"),
        "### `service install": ("asgi-tunnel-edge", "service", "install"),
        "### `user create": ("asgi-tunnel-edge", "user", "create"),
        "### `user invite": ("asgi-tunnel-edge", "user", "invite"),
        "### `service-token create": ("asgi-tunnel-edge", "service-token", "create"),
        "### `link create": ("asgi-tunnel-edge", "link", "create"),
        "### `session end": ("asgi-tunnel-edge", "session", "end"),
        "### `access test": ("asgi-tunnel-edge", "access", "test"),
        "### `ban add": ("asgi-tunnel-edge", "ban", "add"),
        "### `ban list": ("asgi-tunnel-edge", "ban", "list"),
        "### `ban rm": ("asgi-tunnel-edge", "ban", "rm"),
    }
    for heading, path in commands.items():
        known = set(_OPTION.findall(help_of(path) or "")) - COMMON_OPTIONS
        cells = _first_cells(page.section(heading), r"--[a-z-]+[^`]*")
        listed = {cell.split()[0] for cell in cells} - COMMON_OPTIONS
        yield from _compare(page, f"options of {' '.join(path)}", listed=listed, known=known)


def check_errors(page: Page) -> Iterator[str]:
    """The table of errors lists the public ones."""
    if page.name != ERRORS_PAGE:
        return
    known = {name for name in asgi_tunnel.__all__ if name.endswith("Error")} - {"TunnelError"}
    listed = set(_first_cells(page.section("## Of the app's side"), r"\w+Error"))
    yield from _compare(page, "errors", listed=listed, known=known)


def check_limits(page: Page) -> Iterator[str]:
    """Every number that the code names is on the page, with its value; tuples too."""
    if page.name != LIMITS_PAGE:
        return
    rows = {
        match[1]: match[2]
        for line in page.section("## The edge and the connector")
        if (match := re.match(r"\| `([\w.]+)` \| ([^|]*[^| ]) +\|", line))
    }
    known = {name: value for name, value in _constants() if not NOT_LIMITS.fullmatch(name)}
    for name in sorted(known.keys() - rows.keys()):
        yield f"{page.name}: the table of constants lacks {name}; give its unit and its reason"
    for name, value in known.items():
        if isinstance(value, tuple) and rows.get(name) not in {None, ", ".join(map(str, value))}:
            yield f"{page.name}: {name} is {value}, the table says {rows[name]}"


def check_tests(page: Page) -> Iterator[str]:
    """Every test that a page names is there."""
    for number, line in enumerate(page.prose, 1):
        for path, name in re.findall(r"`((?:edge/)?tests/[\w/]+\.py)(?:::(\w+))?`", line):
            file = ROOT / path
            if not file.exists() or (name and f"def {name}(" not in file.read_text("utf-8")):
                shown = f"{path}::{name}" if name else path
                yield f"{page.name}:{number}: there is no test {shown}"


def _constants() -> Iterator[tuple[str, float | tuple[float, ...]]]:
    """The numbers that modules name, and tuples of them; other values are no limits."""
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT / source).with_suffix("").parts)
            for node in ast.parse(path.read_text("utf-8")).body:
                if (
                    isinstance(node, ast.AnnAssign)
                    and isinstance(node.target, ast.Name)
                    and node.value is not None
                    and "Final" in ast.unparse(node.annotation)
                ):
                    value = _number(node.value)
                    if value is not None:
                        yield f"{module}.{node.target.id}", value


def _number(node: ast.expr) -> float | tuple[float, ...] | None:
    """The value of an expression of plain numbers; None for any other."""
    allowed = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Tuple, ast.operator, ast.unaryop, ast.Load)
    if not all(isinstance(one, allowed) for one in ast.walk(node)):
        return None
    value = eval(compile(ast.Expression(node), "", "eval"))  # noqa: S307 - our own numbers only
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, tuple) and value and all(isinstance(one, int | float) for one in value):
        return value
    return None


def _first_cells(lines: list[str], pattern: str) -> list[str]:
    row = re.compile(rf"^\| `({pattern})` ")
    return [match[1] for line in lines if (match := row.match(line))]


def _compare(page: Page, what: str, *, listed: set[str], known: set[str]) -> Iterator[str]:
    for name in sorted(known - listed):
        yield f"{page.name}: the table of {what} lacks {name}"
    for name in sorted(listed - known):
        yield f"{page.name}: the table of {what} has {name}, which does not exist"


CHECKS: Final = (
    check_links,
    check_blocks,
    check_notes,
    check_variables,
    check_arguments,
    check_edge_settings,
    check_service_keys,
    check_options,
    check_errors,
    check_limits,
    check_tests,
)


def main() -> int:
    """Check all pages; print what is wrong and return 1, else return 0."""
    pages = [Page.read(path) for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    wrong = [sentence for page in pages for check in CHECKS for sentence in check(page)]
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
