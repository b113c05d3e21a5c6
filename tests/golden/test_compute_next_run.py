"""Does a schedule run next at the measured instants?"""

from datetime import UTC, datetime
from typing import Any

from turnkeel_adapters.config.zones import BadZone, load_zone
from turnkeel_core import NextRun, NoMoreRuns, ScheduleRefused
from turnkeel_core.schedule_next import ScheduleSnapshot, compute_next_run
from turnkeel_core.schedule_policy import SchedulePolicy

KIND = "compute_next_run"
MEASURED = SchedulePolicy(max_interval_ms=10**13, malformed_interval_ms=60_000)
"""The measured system sets no limit to an interval, and runs a malformed one again after a minute."""
ERRORS = {"cron": "invalid_cron", "timezone": "invalid_timezone", "kind": "invalid_schedule_type"}


def test_the_next_run_is_the_measured_one(vector: dict[str, Any]) -> None:
    given = vector["input"]
    try:
        zone = load_zone(given["timezone"])
    except BadZone:
        zone = None
    seen = ScheduleSnapshot(
        now_ms=_ms(given["now"]),
        kind=given["schedule_type"],
        value=given["schedule_value"],
        anchor_at_ms=None if given["next_run"] is None else _ms(given["next_run"]),
        zone=zone,
    )

    answer = compute_next_run(seen, MEASURED)

    expected = vector["expected"]
    if "error" in expected:
        assert isinstance(answer, ScheduleRefused) and ERRORS[answer.what] == expected["error"]
    elif expected["next_run"] is None:
        assert answer == NoMoreRuns()
    else:
        assert answer == NextRun(_ms(expected["next_run"]))


def _ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
