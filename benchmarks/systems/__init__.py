"""The ways to serve the app that are compared: each file here has its SYSTEM, or SYSTEMS."""

from __future__ import annotations

from benchmarks.model import System
from benchmarks.systems import (
    bore,
    caddy,
    chisel,
    frp,
    localtunnel,
    nginx,
    ours,
    rathole,
    ssh,
    uvicorn,
)

SYSTEMS: tuple[System, ...] = (
    uvicorn.SYSTEM,
    *ours.SYSTEMS,
    nginx.SYSTEM,
    ssh.SYSTEM,
    *frp.SYSTEMS,
    rathole.SYSTEM,
    bore.SYSTEM,
    chisel.SYSTEM,
    localtunnel.SYSTEM,
    uvicorn.TLS,
    nginx.TLS,
    caddy.TLS,
    ssh.TLS,
    *frp.TLS_SYSTEMS,
)
