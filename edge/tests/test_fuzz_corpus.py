"""The inputs that the fuzzers of ``fuzz/`` start from, run without a fuzzer."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
MAX_CORPUS = 200 * 1024


class FakeAtheris(ModuleType):
    """Atheris without its fuzzer: installed by ``make fuzz`` only."""

    Setup = Fuzz = staticmethod(lambda *_: None)
    instrument_imports = staticmethod(lambda **_: contextlib.nullcontext())


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """What one target does with an input."""
    monkeypatch.setitem(sys.modules, "atheris", FakeAtheris("atheris"))
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Callable[[bytes], None] = module.run
    return run


@pytest.mark.parametrize("name", sorted(path.stem for path in FUZZ.glob("*.py")))
def test_known_inputs_break_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every input of the corpus is read or refused as the target demands."""
    run = load(name, monkeypatch)
    paths = sorted((FUZZ / "corpus" / name).iterdir())
    assert paths
    for path in paths:
        run(path.read_bytes())


def test_corpus_stays_small() -> None:
    """The repository carries what reaches something, not all that was ever made up."""
    sizes = [path.stat().st_size for path in (FUZZ / "corpus").rglob("*") if path.is_file()]
    assert sum(sizes) < MAX_CORPUS
