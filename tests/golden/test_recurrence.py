"""Does a cron text fire at the measured instants?"""

from typing import Any
from zoneinfo import ZoneInfo

from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc
from turnkeel_core.schedule import CronRefused, next_cron_run

KIND = "recurrence"


def test_the_runs_are_the_measured_ones(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    wanted = 1 if "error" in expected else 1 + len(expected["following"])

    runs = _runs(given, wanted)

    assert runs == (["refused"] if "error" in expected else [expected["next"], *expected["following"]])


def _runs(given: dict[str, Any], wanted: int) -> list[str]:
    after_ms = parse_sqlite_utc(given["after"])
    assert after_ms is not None
    runs: list[str] = []
    while len(runs) < wanted:
        answer = next_cron_run(given["cron"], ZoneInfo(given["tz"]), after_ms)
        if isinstance(answer, CronRefused):
            return [*runs, "refused"]
        after_ms = answer.at_ms
        runs.append(iso_utc(after_ms))
    return runs
