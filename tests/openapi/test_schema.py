"""The API does what its document says: schemathesis makes requests from it, against a real edge."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import httpx
import pytest
from edge.tests.dashboard.house import SECRET, SETTINGS, House, house

TOOL = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
TOKEN = "svc_0000000000000001"
EXAMPLES = int(os.environ.get("API_EXAMPLES", "8"))

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="schemathesis is not installed here")


async def run(one: House, report: Path, *options: str) -> tuple[int, str]:
    """Let it make requests; return its exit code and what it says."""
    address = one.edge.dashboard_address
    assert address is not None
    url = f"http://127.0.0.1:{address.port}/api/v1/openapi.json"
    process = await asyncio.create_subprocess_exec(
        TOOL,
        *("--config-file", str(CONFIG)),
        "run",
        url,
        *("--auth", f"{TOKEN}:{SECRET}"),
        *("--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=report,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.timeout(600)
async def test_responses_are_as_described(tmp_path: Path) -> None:
    """No server error, and no status, type or field that the document does not have."""
    dashboard = {**SETTINGS, "listen": "127.0.0.1:0"}
    # It takes back whatever has an id that it has seen: the token that it comes with, last.
    own = "revokeServiceToken"
    async with house(tmp_path, dashboard=dashboard) as one:
        code, said = await run(one, tmp_path, "--exclude-operation-id", own)
        assert code == 0, said
        code, said = await run(one, tmp_path, "--include-operation-id", own)
        assert code == 0, said
        # Nothing that was sent has broken the edge, nor the token that sent it.
        address = one.edge.dashboard_address
        assert address is not None
        async with httpx.AsyncClient(auth=(TOKEN, SECRET)) as client:
            response = await client.get(f"http://127.0.0.1:{address.port}/api/v1/me")
        assert response.json()["role"] == "operator"
