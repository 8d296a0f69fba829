from __future__ import annotations

import asyncio

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from asgi_tunnel_edge.metrics.exposition import FRESH, PIECE, Exposition, as_json, render
from asgi_tunnel_edge.metrics.families import Values, add


def some() -> Values:
    """A metric of each kind, and a hostname that needs quoting."""
    values: Values = {}
    add(values, "requests_total", 3, 'a"b\\.test', "200")
    add(values, "tunnels", 2, "connected")
    add(values, "hold_duration_seconds", [1, 0, 2, 0, 0, 0, 0, 0, 1, 12.5], "resumed")
    return values


@pytest.mark.parametrize("is_open", [False, True])
async def test_the_formats(is_open: bool) -> None:
    """Both are read by prometheus-client's own parser, with the same numbers."""
    text, content_type = await render(some(), is_open=is_open)
    assert content_type.startswith("application/openmetrics-text" if is_open else "text/plain")
    families = list((parse_open if is_open else parse)(text.decode()))
    assert [one.type for one in families] == ["counter", "histogram", "gauge"]
    requests, held, tunnels = families
    (sample,) = requests.samples
    assert (sample.value, sample.labels["hostname"]) == (3, 'a"b\\.test')
    assert tunnels.samples[0].value == 2
    sizes = {one.labels.get("le", one.name[-6:]): one.value for one in held.samples}
    assert (sizes["0.1"], sizes["0.5"], sizes["30.0"], sizes["+Inf"]) == (1, 3, 3, 4)
    assert (sizes["_count"], held.samples[-1].value) == (4, 12.5)
    assert text.endswith(b"# EOF\n") is is_open


@pytest.mark.parametrize("is_open", [False, True])
async def test_many_samples_are_one_metric(is_open: bool) -> None:
    """It is written in pieces, and reads as if it were not."""
    values: Values = {}
    for number in range(3 * PIECE + 1):
        add(values, "hostname_tunnels", number, f"{number}.test")
    text, _ = await render(values, is_open=is_open)
    (family,) = (parse_open if is_open else parse)(text.decode())
    assert [sample.value for sample in family.samples] == list(range(3 * PIECE + 1))
    assert text.count(b"# HELP") == text.count(b"# TYPE") == 1


async def test_as_json() -> None:
    """The same for programs: buckets add up as in the text."""
    requests, held, _ = as_json(some())
    assert requests["name"] == "asgi_tunnel_edge_requests_total"
    assert requests["samples"] == [
        {"labels": {"hostname": 'a"b\\.test', "code": "200"}, "value": 3}
    ]
    (sample,) = held["samples"]
    assert sample["buckets"]["+Inf"] == sample["count"] == 4
    assert sample["sum"] == 12.5


async def test_who_asks_often_is_given_the_same_text() -> None:
    """Whoever reaches the address cannot make the edge do nothing else."""
    reads = 0
    now = 0.0

    async def read() -> Values:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        return some()

    exposition = Exposition(read, lambda: now)
    texts = await asyncio.gather(*(exposition.text("text/plain") for _ in range(50)))
    assert len(set(texts)) == 1
    assert reads == 1
    await exposition.text("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert reads == 2  # another format
    now = FRESH
    await exposition.text()
    assert reads == 3


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text; version=x", "application/openmetrics-text; version=9;a=\x01"],
)
async def test_what_is_asked_for_is_not_repeated(accept: str) -> None:
    """A version that makes no sense is 1.0.0."""

    async def read() -> Values:
        return some()

    _, content_type = await Exposition(read).text(accept)
    assert "version=1.0.0" in content_type
    assert content_type.isprintable()
