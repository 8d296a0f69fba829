"""The API over real sockets: who may ask, what is read and returned, and what errors look like."""

from __future__ import annotations

from pathlib import Path

from edge.tests.dashboard.house import house

API = "/api/v1"


async def test_a_program_reads_and_changes(tmp_path: Path) -> None:
    """A token is made, shown, rotated and taken back, as the commands do it."""
    async with house(tmp_path) as one:
        client = one.program()
        made = await client.client.post(
            f"{API}/tokens", json={"name": "new", "owner": "ben"}, headers=client.fields
        )
        assert made.status_code == 201, made.text
        assert made.json()["token"]["owner"] == "ben"
        assert made.json()["secret"].startswith("atun_") or made.json()["secret"]
        listed = await client.get(f"{API}/tokens")
        assert [it["name"] for it in listed.json()["items"]] == ["shop", "blog", "new"]
