"""The table of faults in the page for operators."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.page import BEGIN, END, PAGE, RESULTS, read_results, render, with_section

ROOT = Path(__file__).parents[2]

ROW = {
    "fault": "SIGKILL of an edge",
    "requests": 1352,
    "failed": 1,
    "outcomes": {"get 503": 1},
    "unknown": 2,
    "twice": 0,
    "slowest": 1.04,
    "sse": [0.5, 0.9],
    "ws": [],
    "apps": 1.25,
}
RUN = {
    "date": "2026-01-01",
    "world": {
        "edges": 3,
        "workers": 1,
        "apps": 60,
        "connections": 2,
        "rate": 135.0,
        "streams": 10,
        "cores": 2,
        "load": 1.2,
    },
    "rows": [ROW],
}


def test_a_row_says_all_that_was_counted() -> None:
    """One line for each fault."""
    text = render({"nats": RUN})
    wanted = (
        "| SIGKILL of an edge | 1,352 | 1 (1 x get 503) | 2 | 0 | 1.0 s | 0.9 s (2) | none lost |"
    )
    assert wanted in text
    assert "3 edges with 1 serving process each, 60 apps" in text.replace("\n", " ")


def test_the_storm_of_a_crowd_has_a_table_of_its_own() -> None:
    """What did not come back is a dash."""
    storm = {**ROW, "tunnels": 10_000, "edges": 3, "per_tunnel": 32_768}
    storm |= {"served_again": 2.5, "half_back": 4.0, "all_back": None}
    text = render({"nats": RUN, "storm nats": {"storm": storm}})
    assert "| nats | 10,000 | 3 | 32.0 KiB | 2.5 s | 4.0 s | - | 1,352 |" in text


def test_the_section_is_replaced() -> None:
    """What stands around it stays."""
    first = with_section("# Page\n\nText.\n", "one")
    assert first == f"# Page\n\nText.\n\n{BEGIN}\n\none\n{END}\n"
    assert with_section(first + "more\n", "two") == first.replace("one", "two") + "more\n"


def test_the_page_shows_the_newest_results() -> None:
    """The file of figures and the page change together."""
    page = (ROOT / PAGE).read_text()
    assert with_section(page, render(read_results(ROOT / RESULTS))) == page
