"""Check that both distributions carry one version and that each requires exactly that one.

The edge requires the app side, and the app side the edge in its extra "end-to-end".
"""

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


def read_requirement(path: Path, name: str, *, extra: str = "") -> str:
    """Return the version of ``name`` that a project requires, or "" where it is not exact."""
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
    prefix = f"{name}=="
    exact = [line for line in listed if line.startswith(prefix)]
    return exact[0].removeprefix(prefix) if exact else ""


def main() -> int:
    """Compare the four places; say where they differ and return 1, else return 0."""
    found = {str(path.relative_to(ROOT)): read_version(path) for path in VERSION_FILES}
    found["edge/pyproject.toml (asgi-tunnel==)"] = read_requirement(
        ROOT / "edge/pyproject.toml", "asgi-tunnel"
    )
    found["pyproject.toml (asgi-tunnel-edge==)"] = read_requirement(
        ROOT / "pyproject.toml", "asgi-tunnel-edge", extra="end-to-end"
    )
    if len(set(found.values())) == 1 and all(found.values()):
        return 0
    print("The versions differ; write the same one in each place:", file=sys.stderr)
    for place, version in found.items():
        print(f"  {place}: {version or 'missing'}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
