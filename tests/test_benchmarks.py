"""The benchmark's arithmetic, tables and command line; nothing is measured here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import __main__ as command_line
from benchmarks import page
from benchmarks.model import Figure
from benchmarks.process import MachineTime
from benchmarks.report import STOLEN, Kind, Measured, Report, Result, cell, number, ratio, render
from benchmarks.summary import lines

RATE = Figure("requests/s", "1/s", more_is_better=True)
CPU = Figure("CPU per request", "us")


def small_gets() -> Result:
    """Three rounds of three systems."""
    rates = {
        "uvicorn direct": [100.0, 300.0, 200.0],
        "asgi-tunnel run": [250.0, 240.0, 260.0],
        "ssh -R": [100.0, 100.0, 100.0],
        "bore": [50.0, 50.0, 50.0],
    }
    rounds = {
        name: [{"rate": rate, "cpu_us": 3.0, "cpu_us.edge": 1.0, "cpu_us.app": 2.0} for rate in row]
        for name, row in rates.items()
    }
    figures = {"rate": RATE, "cpu_us": CPU}
    return Result("small-get-32", "Small GETs", figures, rounds)


def report(*results: Result) -> Report:
    """A run of four systems, and one that is missing."""
    systems = {
        "uvicorn direct": Measured(Kind.DIRECT, "uvicorn 1"),
        "asgi-tunnel run": Measured(Kind.OURS, "asgi-tunnel 1"),
        "ssh -R": Measured(Kind.PEER, "ssh 1"),
        "bore": Measured(Kind.PEER, "bore 1"),
        "frp": Measured(Kind.PEER, "", "not installed: frps"),
    }
    return Report("today", "python -m benchmarks", {"cores": "2"}, systems, list(results))


def row(text: str, name: str) -> list[str]:
    """The cells of the first table row that begins with a name."""
    line = next(one for one in text.splitlines() if one.startswith(f"| {name} |"))
    return [one.strip() for one in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345.6, "12,346"),
        (100, "100"),
        (45.61, "45.6"),
        (5, "5.00"),
        (0.01234, "0.0123"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """A figure has the digits that say something."""
    assert number(value) == text


def test_a_cell_has_median_and_spread() -> None:
    """The median stands first, whatever the order of the rounds; one round has no spread."""
    assert cell([300.0, 100.0, 150.0]) == "150 (100-300)"
    assert cell([150.0]) == "150"
    assert cell([]) == "-"


def test_a_ratio_needs_both_sides() -> None:
    """What was not measured gives a dash, and so does a reference of zero."""
    assert ratio(3.0, 2.0) == "1.50x"
    assert ratio(None, 2.0) == ratio(3.0, None) == ratio(3.0, 0.0) == "-"


def test_the_best_follows_the_figure() -> None:
    """The best of a rate is the largest one, the best of a cost the smallest one."""
    result = small_gets()
    result.rounds["ssh -R"][0]["cpu_us"] = 9.0
    result.rounds["ssh -R"][1]["cpu_us"] = 9.0
    assert result.best(["ssh -R", "bore"], "rate") == ("ssh -R", 100.0)
    assert result.best(["ssh -R", "bore"], "cpu_us") == ("bore", 3.0)
    assert result.best(["frp"], "rate") is None


def test_a_row_has_its_ratios_and_its_processes() -> None:
    """A table gives each system's figures, CPU by process, and ratios to direct and best peer."""
    cells = row(render(report(small_gets())), "asgi-tunnel run")
    assert cells == [
        "asgi-tunnel run",
        "250 (240-260)",
        "3.00",
        "edge 1.00, app 2.00",
        "1.25x",
        "2.50x",
    ]


def test_what_is_missing_or_failed_is_said() -> None:
    """A system that is not there and one that broke are both in the report, with the reason."""
    result = small_gets()
    result.failures["bore"] = "it ended with 1"
    text = render(report(result))
    assert "- frp: not measured, not installed: frps" in text
    assert "- bore: failed. it ended with 1" in text


def test_the_summary_compares_with_what_is_asked() -> None:
    """A figure is met, not met, or unknown in this run."""
    found = {line.title: line for line in lines(report(small_gets()))}
    direct = found["asgi-tunnel run: small GET, 32 connections / uvicorn direct"]
    assert (direct.found, direct.is_met) == ("1.25x", True)
    cpu = found["asgi-tunnel run: small GET, 32 connections: CPU of all processes, us"]
    assert cpu.is_met is False  # equal is not below
    assert found["idle TLS tunnel on the edge"].is_met is None


def test_the_json_has_every_round() -> None:
    """Programs get the rounds themselves, not only medians."""
    data = json.loads(json.dumps(report(small_gets()).as_json()))
    assert [one["rate"] for one in data["results"][0]["rounds"]["asgi-tunnel run"]] == [
        250,
        240,
        260,
    ]
    assert data["systems"]["frp"]["kind"] == "peer"


@pytest.mark.parametrize("option", ["--only", "--system"])
def test_an_unknown_name_is_one_sentence(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not there ends with 2 and one sentence that says which names are."""
    assert command_line.main([option, "fast"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("benchmarks: there is no ")
    assert "'fast'; there is " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("stolen", "kept", "measured"),
    [((0.01,), 1, 1), ((0.3, 0.02), 2, 2), ((0.3, 0.1, 0.2, 0.4), 2, 4)],
    ids=["its own at once", "its own the second time", "never its own"],
)
def test_a_round_without_its_cpu_time_is_measured_again(
    stolen: tuple[float, ...], kept: int, measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that counts is the first of which others took little, else that of the least."""
    shares = iter(stolen)
    monkeypatch.setattr(MachineTime, "stolen_since", lambda *_: next(shares))
    monkeypatch.setattr(command_line, "PAUSE", 0)
    rounds = iter(range(1, 10))
    found = command_line.measure(lambda: {"rate": float(next(rounds))}, 3)
    assert found == {"rate": kept, STOLEN: stolen[kept - 1]}
    assert next(rounds) == measured + 1


def test_stolen_time_is_a_share_of_all() -> None:
    """From two looks; the kernel's own line can be read."""
    assert MachineTime(30, 1200).stolen_since(MachineTime(10, 1000)) == 0.1
    now = MachineTime.now()
    assert 0 <= now.stolen < now.whole
    assert now.stolen_since(now) == 0


def test_names_are_unique() -> None:
    """Each workload and scene is chosen by a name of its own."""
    workloads, scenes = command_line.select([])
    names = [*(one.name for one in workloads), *(one.name for one in scenes)]
    assert len(set(names)) == len(names)


def https_report() -> Report:
    """Small GETs over HTTPS: ours, and a reverse proxy."""
    figures = {"rate": RATE, "cpu_us": CPU}
    rounds = {
        "asgi-tunnel run, TLS": [{"rate": 300.0, "cpu_us": 3.0}],
        "nginx, TLS": [{"rate": 200.0, "cpu_us": 4.0}],
    }
    systems = {
        "asgi-tunnel run": Measured(Kind.OURS, "asgi-tunnel 1"),
        "asgi-tunnel run, TLS": Measured(Kind.OURS, "with TLS", is_tls=True),
        "nginx": Measured(Kind.REFERENCE, "nginx 1"),
        "nginx, TLS": Measured(Kind.REFERENCE, "nginx 1 with TLS", is_tls=True),
    }
    result = Result("tls-get-32", "Small GETs over HTTPS", figures, rounds)
    return Report("today", "python -m benchmarks", {"cores": "2"}, systems, [result])


def test_https_is_compared_with_reverse_proxies() -> None:
    """And not with systems that spoke no TLS; without TLS, those with it are left out."""
    found = {line.title: line for line in lines(https_report())}
    start = "asgi-tunnel run, TLS: small GET, 32 connections"
    rate, cpu = found[f"{start} / nginx and uvicorn"], found[f"{start}: CPU of all processes, us"]
    assert (rate.found, rate.is_met) == ("1.50x", True)
    assert (cpu.found, cpu.is_met) == ("3.00; nginx, TLS 4.00", True)
    assert row(render(https_report()), "asgi-tunnel run, TLS")[-2:] == ["-", "1.50x"]
    assert "asgi-tunnel run, TLS: small GET, 32 connections / uvicorn direct" not in found


def test_the_page_gets_the_tables_of_a_run(tmp_path: Path) -> None:
    """In the place of those before; a run without HTTPS leaves the page as it is."""
    copy = tmp_path / "page.md"
    text = ""
    places = [f"{one.begin}\nold {one.name}\n{one.end}" for one in page.SECTIONS]
    copy.write_text("\n".join(["before", *places, "after\n"]))
    for _ in range(2):
        page.write(https_report(), copy)
        text = copy.read_text()
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "old https" not in text
        assert "old services" in text
        assert text.count("### Small GETs over HTTPS") == 1
        assert "- nginx, TLS: nginx 1 with TLS" in text
    with pytest.raises(ValueError, match="no HTTPS"):
        page.write(report(small_gets()), copy)
    assert copy.read_text() == text
    assert all(one.begin in page.PAGE.read_text() for one in page.SECTIONS)


def services_report() -> Report:
    """Small GETs to a local port, and those of an app in the tunnel's own process."""
    result = small_gets()
    rates = {"asgi-tunnel services": 240.0, "frp": 150.0, "ssh -R": 200.0, "bore": 300.0}
    for name, rate in rates.items():
        result.rounds[name] = [{"rate": rate, "cpu_us": 2.0}]
    found = report(result)
    found.systems["asgi-tunnel services"] = Measured(Kind.OURS, "with uvicorn")
    found.systems["frp"] = Measured(Kind.PEER, "frp 1")
    return found


def test_services_are_compared_with_what_leads_to_a_port(tmp_path: Path) -> None:
    """With the best of frp and ssh, and not with what is asked of an app inside the tunnel."""
    found = {line.title: line for line in lines(services_report())}
    rate = found["asgi-tunnel services: small GET, 32 connections / ssh -R"]
    assert (rate.asked, rate.found, rate.is_met) == (">= 1.2x", "1.20x", True)
    assert "asgi-tunnel services: small GET, 32 connections / uvicorn direct" not in found
    copy = tmp_path / "page.md"
    copy.write_text(f"{page.LOCAL.begin}\n{page.LOCAL.end}\n")
    page.write(services_report(), copy)
    assert row(copy.read_text(), "asgi-tunnel services")[1] == "240"
    assert "| bore |" not in copy.read_text()
