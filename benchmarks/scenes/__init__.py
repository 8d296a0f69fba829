"""The measurements that bring their own world: each file here has its SCENE."""

from __future__ import annotations

from benchmarks.model import Scene
from benchmarks.scenes import connect, idle, imports, shaped, visitors

SCENES: tuple[Scene, ...] = (
    shaped.SCENE,
    idle.SCENE,
    visitors.SCENE,
    connect.SCENE,
    imports.SCENE,
)
