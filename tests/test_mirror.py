"""Each module has tests in a file of its name, or a line here; a large one says why it is."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.release_files import listed_modules

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {
    ROOT / "src/asgi_tunnel": ROOT / "tests",
    ROOT / "edge/src/asgi_tunnel_edge": ROOT / "edge/tests",
}

ELSEWHERE: Final[dict[str, str]] = {
    "edge/src/asgi_tunnel_edge/ports.py": "edge/tests/test_server.py",
    "edge/src/asgi_tunnel_edge/admission/pending.py": "edge/tests/hostile/test_quotas.py",
    "edge/src/asgi_tunnel_edge/commands/inbox_drop.py": "edge/tests/commands/test_inbox.py",
    "edge/src/asgi_tunnel_edge/commands/inbox_choice.py": "edge/tests/commands/test_inbox.py",
    "edge/src/asgi_tunnel_edge/commands/inbox_list.py": "edge/tests/commands/test_inbox.py",
    "edge/src/asgi_tunnel_edge/commands/inbox_retry.py": "edge/tests/commands/test_inbox.py",
    "edge/src/asgi_tunnel_edge/commands/inbox_show.py": "edge/tests/commands/test_inbox.py",
    "edge/src/asgi_tunnel_edge/dashboard/audit.py": "edge/tests/dashboard/test_tunnels.py",
    "edge/src/asgi_tunnel_edge/dashboard/context.py": "edge/tests/dashboard/test_roles.py",
    "edge/src/asgi_tunnel_edge/dashboard/numbers.py": "edge/tests/dashboard/test_tunnels.py",
    "edge/src/asgi_tunnel_edge/questions/numbers.py": "tests/e2e/test_workers.py",
    "edge/src/asgi_tunnel_edge/shares/spent.py": "edge/tests/test_spending.py",
    "edge/src/asgi_tunnel_edge/dashboard/page.py": "edge/tests/dashboard/test_app.py",
    "edge/src/asgi_tunnel_edge/dashboard/pages/audit.py": "edge/tests/dashboard/test_tunnels.py",
    "edge/src/asgi_tunnel_edge/dashboard/pages/certificates.py": (
        "edge/tests/dashboard/test_pages.py"
    ),
    "edge/src/asgi_tunnel_edge/dashboard/pages/hosts.py": "edge/tests/dashboard/test_roles.py",
    "edge/src/asgi_tunnel_edge/dashboard/pages/logs.py": "edge/tests/dashboard/test_pages.py",
    "edge/src/asgi_tunnel_edge/dashboard/pages/overview.py": "edge/tests/dashboard/test_pages.py",
    "edge/src/asgi_tunnel_edge/dashboard/pages/settings.py": "edge/tests/dashboard/test_pages.py",
    "edge/src/asgi_tunnel_edge/dashboard/pages/tunnels.py": "edge/tests/dashboard/test_tunnels.py",
    "edge/src/asgi_tunnel_edge/dashboard/problem.py": "edge/tests/dashboard/test_app.py",
    "edge/src/asgi_tunnel_edge/dashboard/problems.py": "edge/tests/dashboard/test_pages.py",
    "edge/src/asgi_tunnel_edge/dashboard/service.py": "edge/tests/dashboard/test_app.py",
    "edge/src/asgi_tunnel_edge/dashboard/serving.py": (
        "edge/tests/dashboard/test_csrf.py edge/tests/dashboard/test_roles.py"
    ),
    "edge/src/asgi_tunnel_edge/dashboard/site.py": "edge/tests/dashboard/test_app.py",
    "edge/src/asgi_tunnel_edge/storage/acting.py": "edge/tests/storage/test_audit.py",
    "edge/src/asgi_tunnel_edge/dashboard/inspection.py": "edge/tests/dashboard/test_inspector.py",
    "edge/src/asgi_tunnel_edge/dashboard/inspector_api.py": (
        "edge/tests/dashboard/test_inspector.py"
    ),
    "edge/src/asgi_tunnel_edge/dashboard/pages/inspector.py": (
        "edge/tests/dashboard/test_inspector.py"
    ),
    "edge/src/asgi_tunnel_edge/dashboard/pages/traces.py": "edge/tests/dashboard/test_inspector.py",
    "edge/src/asgi_tunnel_edge/neighbours.py": "edge/tests/peers/test_listening.py",
    "edge/src/asgi_tunnel_edge/peers/description.py": "edge/tests/peers/test_forwarded.py",
    "edge/src/asgi_tunnel_edge/peers/greeting.py": "edge/tests/peers/test_listening.py",
    "edge/src/asgi_tunnel_edge/peers/holders.py": "edge/tests/peers/test_forwarded.py",
    "edge/src/asgi_tunnel_edge/peers/inspected.py": "edge/tests/peers/test_inspector.py",
    "edge/src/asgi_tunnel_edge/peers/link.py": "edge/tests/peers/test_listening.py",
    "edge/src/asgi_tunnel_edge/peers/pump.py": "edge/tests/peers/test_carry.py",
    "edge/src/asgi_tunnel_edge/peers/service.py": "edge/tests/peers/test_forwarded.py",
    "edge/src/asgi_tunnel_edge/peers/sockets.py": "edge/tests/peers/test_listening.py",
    "edge/src/asgi_tunnel_edge/inbox/delivery.py": "edge/tests/inbox/test_service.py",
    "edge/src/asgi_tunnel_edge/inbox/exchange.py": "edge/tests/inbox/test_service.py",
    "edge/src/asgi_tunnel_edge/inbox/lane.py": "edge/tests/inbox/test_service.py",
    "edge/src/asgi_tunnel_edge/inspection/errors.py": "edge/tests/inspection/test_client.py",
    "edge/src/asgi_tunnel_edge/inspection/stream.py": "edge/tests/inspection/test_client.py",
    "edge/src/asgi_tunnel_edge/instruments.py": (
        "edge/tests/test_monitor.py "
        "edge/tests/metrics/test_listener.py "
        "edge/tests/observers/test_tracing.py"
    ),
    "edge/src/asgi_tunnel_edge/login/app_door.py": (
        "edge/tests/login/test_login.py edge/tests/policy/test_doors.py"
    ),
    "edge/src/asgi_tunnel_edge/login/oauth.py": "edge/tests/oauth/test_oauth.py",
    "edge/src/asgi_tunnel_edge/login/oidc/fetch.py": "edge/tests/login/oidc/test_provider.py",
    "edge/src/asgi_tunnel_edge/login/oidc/flow.py": "edge/tests/login/oidc/test_login.py",
    "edge/src/asgi_tunnel_edge/login/oidc/id_token.py": "edge/tests/login/oidc/test_login.py",
    "edge/src/asgi_tunnel_edge/login/oidc/problems.py": "edge/tests/login/oidc/test_login.py",
    "edge/src/asgi_tunnel_edge/oauth/authorization.py": "edge/tests/oauth/test_rules.py",
    "edge/src/asgi_tunnel_edge/oauth/bearer.py": "edge/tests/oauth/test_oauth.py",
    "edge/src/asgi_tunnel_edge/oauth/client.py": "edge/tests/oauth/test_rules.py",
    "edge/src/asgi_tunnel_edge/oauth/redirect.py": "edge/tests/oauth/test_rules.py",
    "edge/src/asgi_tunnel_edge/settings/addresses.py": "edge/tests/settings/test_config.py",
    "edge/src/asgi_tunnel_edge/settings/inbox.py": "edge/tests/settings/test_config.py",
    "edge/src/asgi_tunnel_edge/shares/rate.py": "edge/tests/guards/test_rate.py",
    "src/asgi_tunnel/asking.py": "tests/test_connector.py tests/policy/test_bans.py",
    "src/asgi_tunnel/policy/pattern.py": "tests/policy/test_collect.py",
    "src/asgi_tunnel/policy/readers/channels.py": "tests/policy/test_collect.py",
    "src/asgi_tunnel/policy/readers/django.py": (
        "tests/policy/test_collect.py edge/tests/policy/test_frameworks.py"
    ),
    "src/asgi_tunnel/policy/readers/found.py": "tests/policy/test_collect.py",
    "src/asgi_tunnel/policy/readers/litestar.py": "tests/policy/test_collect.py",
    "src/asgi_tunnel/policy/readers/methods.py": "tests/policy/test_collect.py",
    "src/asgi_tunnel/policy/readers/starlette.py": "tests/policy/test_collect.py",
    "src/asgi_tunnel/protocol/policy.py": (
        "tests/protocol/test_handshake.py tests/policy/test_rule.py"
    ),
    "src/asgi_tunnel/inspector/caller.py": "tests/inspector/test_app.py",
    "src/asgi_tunnel/inspector/content.py": "tests/inspector/test_recording.py",
    "src/asgi_tunnel/inspector/imported.py": "tests/inspector/test_recorder.py",
    "src/asgi_tunnel/inspector/journal.py": "tests/inspector/test_ring.py",
    "src/asgi_tunnel/inspector/query.py": "tests/inspector/test_app.py",
    "src/asgi_tunnel/inspector/record.py": "tests/inspector/test_recording.py",
    "src/asgi_tunnel/inspector/reply.py": "tests/inspector/test_app.py",
    "src/asgi_tunnel/inspector/view.py": "tests/inspector/test_recording.py",
    "src/asgi_tunnel/own_socket.py": "tests/test_status.py",
    "src/asgi_tunnel/asgi/adapt.py": "tests/asgi/test_middleware.py",
    "src/asgi_tunnel/asgi/http.py": (
        "tests/asgi/test_send.py tests/asgi/test_receive.py tests/asgi/test_disconnect.py"
    ),
    "src/asgi_tunnel/asgi/inbox.py": "tests/asgi/test_receive.py",
    "src/asgi_tunnel/asgi/origin.py": "tests/asgi/test_tasks.py",
    "src/asgi_tunnel/asgi/types.py": "tests/typing/api.py",
    "src/asgi_tunnel/cli.py": "tests/asgi/test_runner.py",
    "src/asgi_tunnel/commands/doctor_app.py": "tests/commands/test_doctor.py",
    "src/asgi_tunnel/commands/doctor_edge.py": "tests/commands/test_doctor.py",
    "src/asgi_tunnel/commands/doctor_visit.py": "tests/commands/test_doctor.py",
    **{
        f"src/asgi_tunnel/commands/inspect_{name}.py": "tests/commands/test_inspect.py"
        for name in ("client", "edits", "list", "many", "one", "text")
    },
    **{
        f"src/asgi_tunnel/inspector/saved_{name}.py": "tests/inspector/test_testcase.py"
        for name in ("module", "request", "websocket")
    },
    "src/asgi_tunnel/commands/options.py": "tests/commands/test_token.py",
    "src/asgi_tunnel/asgi/lifespan_relay.py": "tests/asgi/test_middleware.py",
    "src/asgi_tunnel/config.py": "tests/asgi/test_middleware.py tests/e2e/test_tokens.py",
    "src/asgi_tunnel/contrib/django/apps.py": "tests/e2e/test_django.py",
    "src/asgi_tunnel/contrib/django/backends.py": "tests/contrib/test_django.py",
    "src/asgi_tunnel/contrib/django/checks.py": "tests/e2e/test_django.py",
    "src/asgi_tunnel/contrib/django/management/commands/tunnel.py": "tests/e2e/test_django.py",
    "src/asgi_tunnel/contrib/django/middleware.py": "tests/contrib/test_django.py",
    "src/asgi_tunnel/contrib/django/serving.py": "tests/e2e/test_django.py",
    "src/asgi_tunnel/contrib/litestar.py": "tests/e2e/test_litestar.py",
    "src/asgi_tunnel/findings.py": (
        "tests/commands/test_doctor.py edge/tests/commands/test_doctor.py"
    ),
    "src/asgi_tunnel/slot.py": "tests/test_connector.py tests/test_reconnect.py",
    "src/asgi_tunnel/greeting.py": "tests/test_connector.py tests/test_probe.py",
    "src/asgi_tunnel/loading.py": "tests/asgi/test_runner.py",
    "src/asgi_tunnel/middleware.py": "tests/asgi/test_middleware.py tests/e2e/test_servers.py",
    "src/asgi_tunnel/protocol/codes.py": "tests/protocol/test_protocol_page.py",
    "src/asgi_tunnel/protocol/control.py": "tests/protocol/test_connection.py",
    "src/asgi_tunnel/protocol/events.py": "tests/protocol/test_connection.py",
    "src/asgi_tunnel/protocol/heartbeat.py": (
        "tests/protocol/test_suspect.py tests/protocol/test_connection.py"
    ),
    "src/asgi_tunnel/protocol/limits.py": (
        "tests/protocol/test_protocol_page.py edge/tests/test_limits_page.py"
    ),
    "src/asgi_tunnel/protocol/receiving.py": (
        "tests/protocol/test_connection.py tests/protocol/test_fuzz.py"
    ),
    "src/asgi_tunnel/protocol/streams.py": (
        "tests/protocol/test_connection.py tests/protocol/test_properties.py"
    ),
    "src/asgi_tunnel/protocol/table.py": "tests/protocol/test_connection.py",
    "src/asgi_tunnel/protocol/text.py": "tests/protocol/test_connection.py",
    "src/asgi_tunnel/parent.py": "tests/test_supervisor.py",
    "src/asgi_tunnel/runner.py": "tests/asgi/test_runner.py",
    "src/asgi_tunnel/services/entry.py": "tests/services/test_app.py",
    "src/asgi_tunnel/services/proxy/errors.py": "tests/services/proxy/test_http.py",
    "src/asgi_tunnel/services/proxy/fields.py": (
        "tests/services/proxy/test_proxy.py tests/services/proxy/test_http.py"
    ),
    "src/asgi_tunnel/services/proxy/pool.py": "tests/services/proxy/test_http.py",
    "src/asgi_tunnel/services/proxy/relay.py": "tests/services/proxy/test_websocket.py",
    "src/asgi_tunnel/services/proxy/upload.py": "tests/services/proxy/test_http.py",
    "src/asgi_tunnel/services/proxy/watch.py": "tests/services/proxy/test_http.py",
    "src/asgi_tunnel/services/reply.py": "tests/services/test_fixed.py",
    "src/asgi_tunnel/services/service.py": "tests/services/test_settings.py",
    "src/asgi_tunnel/stop.py": "tests/asgi/test_runner.py tests/test_supervisor.py",
    "src/asgi_tunnel/testing/edge.py": "tests/test_testing.py",
    "src/asgi_tunnel/testing/fixture.py": "tests/test_testing.py",
    "src/asgi_tunnel/testing/link.py": "tests/test_testing.py",
    "src/asgi_tunnel/testing/visitor.py": "tests/test_testing.py",
    "edge/src/asgi_tunnel_edge/admission/tunnels.py": (
        "edge/tests/hostile/test_tunnel_admission.py tests/e2e/test_tokens.py"
    ),
    **{
        f"edge/src/asgi_tunnel_edge/login/{name}.py": "edge/tests/login/test_login.py"
        for name in ("app", "entrance", "link", "password", "sessions")
    },
    "edge/src/asgi_tunnel_edge/ban.py": "edge/tests/storage/test_bans.py",
    "edge/src/asgi_tunnel_edge/commands/archive.py": "edge/tests/commands/test_backup.py",
    "edge/src/asgi_tunnel_edge/commands/ban_add.py": "edge/tests/commands/test_ban.py",
    "edge/src/asgi_tunnel_edge/commands/ban_list.py": "edge/tests/commands/test_ban.py",
    "edge/src/asgi_tunnel_edge/commands/ban_rm.py": "edge/tests/commands/test_ban.py",
    "edge/src/asgi_tunnel_edge/commands/cert_list.py": "edge/tests/commands/test_cert.py",
    "edge/src/asgi_tunnel_edge/commands/cert_renew.py": "edge/tests/commands/test_cert.py",
    "edge/src/asgi_tunnel_edge/commands/config_check.py": "edge/tests/commands/test_config.py",
    "edge/src/asgi_tunnel_edge/commands/config_show.py": "edge/tests/commands/test_config.py",
    "edge/src/asgi_tunnel_edge/commands/doctor_access.py": "edge/tests/commands/test_access.py",
    "edge/src/asgi_tunnel_edge/commands/doctor_cluster.py": (
        "edge/tests/cluster/test_doctor_cluster.py"
    ),
    "edge/src/asgi_tunnel_edge/commands/doctor_folder.py": "edge/tests/commands/test_doctor.py",
    "edge/src/asgi_tunnel_edge/commands/doctor_machine.py": "edge/tests/commands/test_doctor.py",
    "edge/src/asgi_tunnel_edge/commands/host_add.py": "edge/tests/commands/test_host.py",
    "edge/src/asgi_tunnel_edge/commands/host_list.py": "edge/tests/commands/test_host.py",
    "edge/src/asgi_tunnel_edge/commands/host_rm.py": "edge/tests/commands/test_host.py",
    "edge/src/asgi_tunnel_edge/commands/options.py": "edge/tests/test_cli.py",
    "edge/src/asgi_tunnel_edge/commands/metrics.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/commands/reload.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/commands/running.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/commands/status.py": "edge/tests/parent/test_main.py",
    **{
        f"edge/src/asgi_tunnel_edge/commands/{name}.py": "edge/tests/commands/test_access.py"
        for name in (
            "access_list",
            "access_test",
            "password",
            "link_create",
            "link_list",
            "link_revoke",
            "service_token_create",
            "service_token_list",
            "service_token_revoke",
            "session_end",
            "session_list",
            "user_change",
            "user_create",
            "user_invite",
            "user_list",
            "user_rm",
            "user_show",
            "user_sign_out",
        )
    },
    **{
        f"edge/src/asgi_tunnel_edge/commands/tunnel_{name}.py": "edge/tests/commands/test_tunnel.py"
        for name in ("drain", "kick", "list", "sessions", "show")
    },
    "edge/src/asgi_tunnel_edge/commands/upgrade.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/commands/restore.py": "edge/tests/commands/test_backup.py",
    **{
        f"edge/src/asgi_tunnel_edge/api/{name}.py": f"edge/tests/api/test_{test}.py"
        for name, test in {
            "bans": "reach",
            "certificates": "reach",
            "context": "app",
            "edge": "reach",
            "hosts": "reach",
            "inbox": "reach",
            "openapi": "page",
            "operation": "app",
            "paging": "app",
            "people": "reach",
            "problem": "app",
            "reading": "app",
            "responses": "app",
            "sharing": "reach",
            "table": "page",
            "tokens": "app",
            "tunnels": "app",
        }.items()
    },
    **{
        f"edge/src/asgi_tunnel_edge/dashboard/{name}.py": "edge/tests/dashboard/test_changes.py"
        for name in (
            "pages/api",
            "pages/inbox",
            "pages/people",
            "pages/security",
            "pages/sharing",
            "pages/tokens",
            "scoped",
        )
    },
    **{
        f"edge/src/asgi_tunnel_edge/operations/{name}.py": f"edge/tests/commands/test_{test}.py"
        for name, test in {
            "bans": "ban",
            "certificates": "cert",
            "doors": "access",
            "hosts": "host",
            "inbox": "inbox",
            "issuing": "token_create",
            "links": "access",
            "service_tokens": "access",
            "sessions": "access",
            "texts": "ban",
            "tokens": "token_create",
            "tunnels": "tunnel",
            "users": "access",
        }.items()
    },
    "edge/src/asgi_tunnel_edge/certificates/dns/lookup.py": (
        "edge/tests/certificates/dns/test_propagation.py"
        " edge/tests/certificates/dns/test_records.py"
    ),
    "edge/src/asgi_tunnel_edge/certificates/dns/wire.py": (
        "edge/tests/certificates/dns/test_zone.py"
    ),
    "edge/src/asgi_tunnel_edge/certificates/acme/account.py": (
        "edge/tests/certificates/acme/test_issuer.py edge/tests/acme/test_client.py"
    ),
    "edge/src/asgi_tunnel_edge/certificates/acme/client.py": "edge/tests/acme/test_client.py",
    "edge/src/asgi_tunnel_edge/certificates/acme/failures.py": (
        "edge/tests/certificates/acme/test_issuer.py"
    ),
    "edge/src/asgi_tunnel_edge/certificates/acme/lease.py": (
        "edge/tests/certificates/acme/test_issuer.py"
    ),
    "edge/src/asgi_tunnel_edge/certificates/acme/order.py": (
        "edge/tests/acme/test_kinds.py edge/tests/acme/test_restart.py"
    ),
    "edge/src/asgi_tunnel_edge/certificates/acme/records.py": "edge/tests/storage/test_acme.py",
    "edge/src/asgi_tunnel_edge/certificates/acme/solver.py": "edge/tests/acme/test_kinds.py",
    "edge/src/asgi_tunnel_edge/certificates/source.py": "edge/tests/certificates/test_files.py",
    "edge/src/asgi_tunnel_edge/choice.py": (
        "edge/tests/home/test_server.py edge/tests/listeners/test_names.py"
    ),
    "edge/src/asgi_tunnel_edge/context.py": "edge/tests/test_dispatch.py",
    "edge/src/asgi_tunnel_edge/counts.py": (
        "edge/tests/observers/test_request_counter.py edge/tests/metrics/test_reader.py"
    ),
    "edge/src/asgi_tunnel_edge/endpoints/page.py": "edge/tests/endpoints/test_health.py",
    "edge/src/asgi_tunnel_edge/exchange/fields.py": (
        "edge/tests/http1/test_writer.py edge/tests/hostile/test_origin.py"
    ),
    "edge/src/asgi_tunnel_edge/exchange/writer.py": (
        "edge/tests/exchange/fakes.py edge/tests/http1/test_writer.py"
    ),
    "edge/src/asgi_tunnel_edge/guards/guard.py": "edge/tests/guards/test_chain.py",
    "edge/src/asgi_tunnel_edge/home/dispatch.py": "edge/tests/home/test_server.py",
    "edge/src/asgi_tunnel_edge/home/proofs.py": "edge/tests/home/test_issuance.py",
    "edge/src/asgi_tunnel_edge/http1/arrival.py": (
        "tests/e2e/test_behind_a_proxy.py tests/e2e/test_scope_truth.py"
    ),
    "edge/src/asgi_tunnel_edge/http1/connection.py": (
        "edge/tests/hostile/test_valid.py "
        "edge/tests/hostile/test_slow.py "
        "tests/e2e/test_edge_http.py"
    ),
    "edge/src/asgi_tunnel_edge/http1/front.py": "edge/tests/http1/test_writer.py",
    "edge/src/asgi_tunnel_edge/http1/head.py": (
        "edge/tests/http1/test_properties.py edge/tests/hostile/test_malformed.py"
    ),
    "edge/src/asgi_tunnel_edge/http1/responses.py": "edge/tests/http1/test_writer.py",
    "edge/src/asgi_tunnel_edge/listeners/plain.py": "edge/tests/test_redirect.py",
    "edge/src/asgi_tunnel_edge/observers/observer.py": "edge/tests/exchange/test_http.py",
    "edge/src/asgi_tunnel_edge/bus/postgresql_neighbour.py": "edge/tests/bus/test_postgresql.py",
    "edge/src/asgi_tunnel_edge/bus/postgresql_session.py": "edge/tests/bus/test_postgresql.py",
    "edge/src/asgi_tunnel_edge/cluster/folder.py": "edge/tests/cluster/test_membership.py",
    "edge/src/asgi_tunnel_edge/cluster/reach.py": "edge/tests/cluster/test_membership.py",
    "edge/src/asgi_tunnel_edge/commands/cluster_init.py": "edge/tests/cluster/test_membership.py",
    "edge/src/asgi_tunnel_edge/commands/cluster_join.py": "edge/tests/cluster/test_membership.py",
    "edge/src/asgi_tunnel_edge/commands/cluster_rm.py": "edge/tests/cluster/test_membership.py",
    "edge/src/asgi_tunnel_edge/commands/cluster_status.py": "edge/tests/cluster/test_membership.py",
    "edge/src/asgi_tunnel_edge/parent/hub.py": "edge/tests/bus/test_parent.py",
    "edge/src/asgi_tunnel_edge/parent/later.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/parent/resume.py": (
        "edge/tests/parent/test_main.py edge/tests/parent/test_renewal.py"
    ),
    "edge/src/asgi_tunnel_edge/questions/live.py": "edge/tests/questions/test_check.py",
    "edge/src/asgi_tunnel_edge/questions/log.py": "edge/tests/commands/test_tunnel.py",
    "edge/src/asgi_tunnel_edge/questions/matching.py": "edge/tests/questions/test_tunnels.py",
    "edge/src/asgi_tunnel_edge/questions/metrics.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/questions/ping.py": "edge/tests/questions/test_check.py",
    "edge/src/asgi_tunnel_edge/questions/status.py": "edge/tests/parent/test_main.py",
    "edge/src/asgi_tunnel_edge/questions/traffic.py": "edge/tests/commands/test_tunnel.py",
    "edge/src/asgi_tunnel_edge/replies.py": "edge/tests/http1/test_writer.py",
    "edge/src/asgi_tunnel_edge/route.py": "edge/tests/test_directory.py",
    "edge/src/asgi_tunnel_edge/request.py": "edge/tests/http1/test_properties.py",
    "edge/src/asgi_tunnel_edge/settings/guards.py": "edge/tests/settings/test_config.py",
    "edge/src/asgi_tunnel_edge/settings/survey.py": "edge/tests/commands/test_config.py",
    "edge/src/asgi_tunnel_edge/settings/alerts.py": "edge/tests/test_monitor.py",
    "edge/src/asgi_tunnel_edge/settings/tracing.py": (
        "edge/tests/observers/test_tracing.py edge/tests/exchange/test_timed.py"
    ),
    "edge/src/asgi_tunnel_edge/settings/types.py": "edge/tests/settings/test_config.py",
    **{
        f"edge/src/asgi_tunnel_edge/storage/{name}.py": "edge/tests/storage/test_access.py"
        for name in ("access_rows", "passes", "users")
    },
    "edge/src/asgi_tunnel_edge/storage/database.py": "edge/tests/storage/test_store.py",
    "edge/src/asgi_tunnel_edge/storage/dialect.py": (
        "edge/tests/storage/test_sqlite.py edge/tests/storage/test_postgresql.py"
    ),
    "edge/src/asgi_tunnel_edge/storage/location.py": "edge/tests/storage/test_postgresql.py",
    "edge/src/asgi_tunnel_edge/storage/models.py": "edge/tests/storage/test_store.py",
}
"""Modules whose tests are in files of another name, and in which: what they do shows there."""

MAX_FILE: Final = 500
MAX_CLASS: Final = 350
REASON: Final = "Large because"


def _modules() -> list[Path]:
    return [
        path
        for source in PACKAGES
        for path in sorted(source.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py", "_version.py")
        and "migrations" not in path.parts
    ]


def _own_test(module: Path) -> Path:
    source = next(one for one in PACKAGES if module.is_relative_to(one))
    relative = module.relative_to(source)
    return PACKAGES[source] / relative.parent / f"test_{relative.name}"


def _name(module: Path) -> str:
    return str(module.relative_to(ROOT))


def test_each_module_has_its_tests() -> None:
    """A module without a test file of its name is in the list, and no other one is."""
    without = {_name(module) for module in _modules() if not _own_test(module).exists()}
    assert without == set(ELSEWHERE)


def test_compiled_modules_have_tests_on_compiled_code() -> None:
    """Of what a wheel has compiled, ``make test COMPILED=1`` leaves out no module's last test."""
    done = subprocess.run(
        ["make", "-n", "test", "COMPILED=1"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    left_out = [Path(one) for one in re.findall(r"--ignore=(\S+)", done.stdout)]
    assert len(left_out) > 50
    compiled = {f"src/{one}.py" for one in listed_modules(ROOT)}
    compiled |= {f"edge/src/{one}.py" for one in listed_modules(ROOT / "edge")}
    modules = [one for one in _modules() if _name(one) in compiled]
    assert len(modules) > 100
    missing = []
    for module in modules:
        own = ELSEWHERE.get(_name(module)) or _name(_own_test(module))
        if all(any(Path(test).is_relative_to(one) for one in left_out) for test in own.split()):
            missing.append(_name(module))
    assert missing == []


def test_the_list_names_files_that_exist() -> None:
    """What each line names is there."""
    named = {name for names in ELSEWHERE.values() for name in names.split()}
    assert not {name for name in named if not (ROOT / name).exists()}


def test_no_room_is_too_large() -> None:
    """A file over 500 lines or a class over 350 says in its docstring why."""
    assert not [name for module in _modules() for name in _too_large(module)]


def _too_large(module: Path) -> Iterator[str]:
    text = module.read_text()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            if size > MAX_CLASS and REASON not in (ast.get_docstring(node) or ""):
                yield f"{_name(module)}: {node.name} has {size} lines"
    size = text.count("\n")
    if size > MAX_FILE and REASON not in (ast.get_docstring(tree) or ""):
        yield f"{_name(module)} has {size} lines"
