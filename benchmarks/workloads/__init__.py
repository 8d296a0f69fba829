"""The loads that drive one running system: each file here has its WORKLOADS."""

from __future__ import annotations

from benchmarks.model import Workload
from benchmarks.workloads import beside, bulk, events, http, https, websocket

WORKLOADS: tuple[Workload, ...] = (
    *http.WORKLOADS,
    *bulk.WORKLOADS,
    *beside.WORKLOADS,
    *websocket.WORKLOADS,
    *events.WORKLOADS,
    *https.WORKLOADS,
)
