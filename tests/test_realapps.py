"""The suite of `make realapps` finds differences, and its page names every program."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Final

from tests.realapps.differences import ALLOWED, allowed
from tests.realapps.page import BEGIN, END, PAGE, with_section
from tests.realapps.running import ROOT
from tests.realapps.suite import compare, known_programs
from tests.realapps.visit import Step

from asgi_tunnel.services.settings import KEYS

HOW_TO: Final = "docs/howto/services.md"


def test_the_page_names_every_program_and_every_allowed_difference() -> None:
    """A program or an allowed difference that the page lacks is found without running it."""
    page = (ROOT / PAGE).read_text()
    section = page[page.index(BEGIN) : page.index(END)]
    for program in known_programs():
        assert f"| {program.name} |" in section
        assert f"| {program.does} | {program.visitors} |" in section
    for row in ALLOWED:
        assert f"| {row.program} | {row.fact} | {row.reason} |" in section


def test_the_how_to_lists_what_each_server_needs() -> None:
    """Settings that a server runs with are those that its owner reads."""
    page = (ROOT / HOW_TO).read_text()
    tried = [one for one in known_programs() if one.setting]
    assert len(tried) > 5
    for program in tried:
        assert f"| {program.name} | {program.setting} |" in page
    for line in page[page.index("## Programs that were tried") :].splitlines()[:30]:
        name = line.split("|")[1].strip() if line.startswith("| ") else "Program"
        assert name in {"Program", *(one.name for one in tried)}


def test_a_server_has_the_settings_that_the_how_to_lists() -> None:
    """Each `name = value` there is in the module of the program, or a key of the services file."""
    for program in known_programs():
        if program.start is None:
            continue
        source = inspect.getsource(sys.modules[program.start.__module__])
        for text in re.findall(r"`([^`]+)`", program.setting):
            key, *value = re.split(r"[ =:(]", text)
            is_there = key in KEYS or source.count(key) > program.setting.count(key)
            assert is_there or not value, text


def test_the_short_form_installs_what_its_programs_need() -> None:
    """Where a program of `make realapps QUICK=1` is not installed, it would only be skipped."""
    lines = (ROOT / "tests/realapps/quick.txt").read_text().lower().splitlines()
    quick = [one for one in known_programs() if one.quick and one.distribution not in one.needs]
    assert quick
    assert [one.name for one in quick if one.distribution.lower() not in lines] == []


def test_every_difference_is_found() -> None:
    """A status, a field, a body, a missing step: each is a difference of its own."""
    facts = {"status": 200, "headers": {"a": ["1"], "b": ["2"]}, "body": "x"}
    other = {"status": 404, "headers": {"a": ["1"], "c": ["2"]}, "body": "y"}
    found = [name for name, *_ in compare([Step("get", facts)], [Step("get", other)])]
    assert found == ["get: header b", "get: header c", "get: body", "get: status"]
    assert [name for name, *_ in compare([], [Step("get", facts)])] == ["the steps"]
    assert not list(compare([Step("get", facts)], [Step("get", facts)]))


def test_an_allowed_difference_is_allowed_nowhere_else() -> None:
    """A row allows one fact of the programs that it names."""
    assert allowed("WsgiDAV through a2wsgi", "options: header date")
    assert allowed("Falcon", "json: header date") is None
    assert allowed("Falcon", "json: status") is None


def test_other_sections_of_the_page_stay() -> None:
    """Writing the section again changes nothing outside of it."""
    once = with_section("# Compatibility\n\n## Servers\n\nText.\n", "old")
    again = with_section(once + "\n## Clients\n", "new")
    assert again == once.replace("old", "new") + "\n## Clients\n"
