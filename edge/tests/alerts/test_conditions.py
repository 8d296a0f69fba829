"""When an alert is said, by a clock of the test's own."""

from __future__ import annotations

from asgi_tunnel_edge.alerts.conditions import REPEAT, Conditions, Problem
from asgi_tunnel_edge.alerts.message import Alert

DOWN = Problem(event="tunnel_down", subject="shop", message="down", resolved="up again", delay=60.0)
WALL = 1_000_000.0


class Story:
    """Conditions, and a clock that starts at 100 s."""

    def __init__(self, firing: dict[str, Alert] | None = None) -> None:
        self.conditions = Conditions(firing or {}, now=100.0)

    def at(self, now: float, *, down: bool) -> list[tuple[str, float]]:
        """What is said at a time, with when it began."""
        problems = {"tunnel tok_1": DOWN} if down else {}
        found = self.conditions.look(problems, now=now, wall=WALL + now)
        return [(one.state, one.since - WALL) for one in found]


def test_a_short_outage_is_not_said() -> None:
    """Nor that it is over."""
    story = Story()
    assert story.at(100, down=True) == []
    assert story.at(159, down=True) == []
    assert story.at(159.5, down=False) == []
    assert story.at(160, down=True) == []


def test_a_long_one_is_said_once_and_its_end() -> None:
    """With the time at which it began; the end, when it has lasted."""
    story = Story()
    story.at(100, down=True)
    assert story.at(160, down=True) == [("firing", 100)]
    assert story.at(500, down=True) == []
    assert story.at(501, down=False) == []
    assert story.at(530.9, down=False) == []
    assert story.at(531, down=False) == [("resolved", 100)]
    assert story.at(600, down=False) == []


def test_what_comes_and_goes_is_down() -> None:
    """An app that restarts every 40 s, for 20 s each, makes one alert and no end."""
    story = Story()
    said: list[tuple[str, float]] = []
    for now in range(100, 4000):
        said += story.at(now, down=now < 200 or now % 40 < 20)
    assert said == [("firing", 100)]


def test_no_storm() -> None:
    """One that is down and up for long enough, again and again, is said six times an hour."""
    story = Story()
    times: list[str] = []
    for now in range(100, 3700):
        times += [state for state, _ in story.at(now, down=now % 100 < 65)]
    assert times[:2] == ["firing", "resolved"]
    assert times.count("firing") <= 3600 / REPEAT


def test_what_still_is_wrong_after_the_quiet_time() -> None:
    """It is said as soon as it may be."""
    story = Story()
    story.at(100, down=True)
    story.at(160, down=True)
    story.at(200, down=False)
    assert story.at(230, down=False) == [("resolved", 100)]
    assert story.at(300, down=True) == []
    assert story.at(759, down=True) == []
    assert story.at(760, down=True) == [("firing", 300)]


def test_a_later_process_goes_on() -> None:
    """It does not say again what was said, and says its end."""
    story = Story()
    story.at(100, down=True)
    story.at(160, down=True)
    later = Story(story.conditions.firing)
    assert later.at(170, down=True) == []
    later.at(180, down=False)
    assert later.at(210, down=False) == [("resolved", 100)]
    assert not later.conditions.firing


def test_nothing_is_kept_of_what_is_over() -> None:
    """Memory is that of what is wrong, and was lately."""
    story = Story()
    story.at(100, down=True)
    story.at(160, down=True)
    story.at(200, down=False)
    story.at(230, down=False)
    story.at(760, down=False)
    assert not story.conditions._known
