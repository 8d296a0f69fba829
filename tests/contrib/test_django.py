"""Django's users by what a door of the edge says, in a project of one file: ``django_site``.

The backend that decides otherwise is the one of ``docs/howto/visitor.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ANNA = ["user:anna", "user:anna"]
BEN = ["user:ben", "user:ben"]
NOBODY = ["", None]

EXPECTED: dict[str, Any] = {
    "a_visitor_is_a_user": [[ANNA, ANNA], True, "anna@example.org", False, False],
    "an_asynchronous_view": ["user:anna", "user:anna"],
    "a_session_follows_the_visitor": [ANNA, NOBODY, ANNA, BEN, NOBODY],
    "a_stolen_session": NOBODY,
    "forged_fields": [NOBODY, ANNA],
    "forged_fields_at_a_port": [NOBODY, NOBODY],
    "djangos_own_middleware": ["root", None],
    "a_user_of_the_project_itself": [
        ANNA,
        ["root"],
        ["root", "user:anna"],
        ["root", "user:ben"],
        ["root", None],
    ],
    "a_user_who_is_not_active": [["user:carl"] * 2, ["", "user:carl"], ["", "user:carl"]],
    "a_name_that_is_too_long": [150, ""],
    "no_password_and_no_name": [None, None, None, "user:anna"],
    "a_backend_of_the_projects": ["root", "", "", True],
    "middleware_in_the_wrong_order": [
        500,
        (
            "VisitorMiddleware needs request.user: put it behind "
            "django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE."
        ),
    ],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each scene."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contrib.django_site", tmp_path_factory.mktemp("site")],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if "DJANGO" not in key},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("scene", EXPECTED)
def test_scene(scene: str, results: dict[str, Any]) -> None:
    """Each scene's own sentence says what happens."""
    assert results[scene] == EXPECTED[scene]


def test_no_scene_is_left_out(results: dict[str, Any]) -> None:
    """What is played is looked at."""
    assert list(results) == list(EXPECTED)
