"""The commands of a cluster, in tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from asgi_tunnel_edge.cli import main

SCHEMAS = Path(__file__).parents[3] / "docs/reference/schemas/edge"


def cluster(command: str, folder: Path, *options: str, **extra: Any) -> Result:
    """Run a command of the group."""
    return CliRunner().invoke(main, ["cluster", command, "--data", str(folder), *options], **extra)


def asked(command: str, folder: Path, *options: str, **extra: Any) -> Any:
    """What a command says in JSON, as its schema has it."""
    done = cluster(command, folder, "--json", *options, **extra)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    schema = json.loads((SCHEMAS / f"cluster-{command}.json").read_text())
    Draft202012Validator(schema).validate(found)
    return found
