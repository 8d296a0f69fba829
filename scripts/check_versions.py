"""Check that both distributions carry one version and that the edge requires exactly that one."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION_FILES = (
    ROOT / "src/asgi_tunnel/_version.py",
    ROOT / "edge/src/asgi_tunnel_edge/_version.py",
)


def read_version(path: Path) -> str:
    """Return the version string that a `_version.py` assigns, or "" where it assigns none."""
    match = re.search(r'^__version__ = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else ""


def read_requirement() -> str:
    """Return the version of asgi-tunnel that the edge requires, or "" where it is not exact."""
    project = tomllib.loads((ROOT / "edge/pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "asgi-tunnel=="
    exact = [line for line in project["dependencies"] if line.startswith(prefix)]
    return exact[0].removeprefix(prefix) if exact else ""


def main() -> int:
    """Compare the three places; say where they differ and return 1, else return 0."""
    found = {str(path.relative_to(ROOT)): read_version(path) for path in VERSION_FILES}
    found["edge/pyproject.toml (asgi-tunnel==)"] = read_requirement()
    if len(set(found.values())) == 1 and all(found.values()):
        return 0
    print("The versions differ; write the same one in each place:", file=sys.stderr)
    for place, version in found.items():
        print(f"  {place}: {version or 'missing'}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
