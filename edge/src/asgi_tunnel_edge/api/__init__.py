"""The HTTP API of an edge: what commands and pages do, for programs, as JSON.

A table of operations (:mod:`.table`), each a function with the structs that it takes and returns;
from the same table come the routes (:mod:`.app`) and the OpenAPI document (:mod:`.openapi`). Who
may do what is decided before a function is called and by :class:`..operations.scope.Scope`. The
dashboard mounts it below ``/api/v1/``, and says who asks. Described in docs/reference/api.md.
"""
