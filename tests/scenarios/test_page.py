"""Is every scenario of the eight groups played or accounted for, and do the pages say what is true?"""


def test_every_scenario_is_played_or_has_a_reason(page):
    played = {row.id for row in page.rows()}
    left_out = set(page.catalogue.NOT_HERE)
    assert played | left_out == set(page.catalogue.TITLES)
    assert not played & left_out
    assert len(page.catalogue.TITLES) == 101


def test_the_page_lists_the_tests_that_there_are(page):
    assert page.PAGE.read_text("utf-8") == page.render(page.rows()), "run: pytest tests/scenarios --write-scenarios"


def test_a_scenario_that_was_never_seen_to_pass_makes_the_page_stale(page):
    assert page.render(page.rows()[1:]) != page.render(page.rows())


def test_the_detection_table_in_the_readme_is_what_the_script_finds(detection):
    shown = detection.committed(detection.README.read_text("utf-8"))
    assert shown == detection.table().strip(), "run: python tests/scenarios/detection.py --write"


def test_a_kill_before_the_hang_counts_as_a_false_kill(detection):
    # The table's own check: a timeline that hangs later than either rule acts would be told wrongly.
    for line in detection.TIMELINES:
        for verdict in (detection.ours(line), detection.seed(line)):
            assert verdict is None or line.hung_s is None or verdict.at_s >= line.hung_s, line.what


def test_the_seeds_rule_in_the_table_is_the_measured_one(detection):
    """Beside `decide_stuck_action` without an incarnation, which the golden vectors hold to the measured answers."""
    from turnkeel_core import Claim, DeclaredTool, LeaveAlone, StuckSnapshot, decide_stuck_action

    now, minute, compared = detection.EPOCH_MS, 60_000, 0
    edges = (0, 1, minute - 1, minute, minute + 1, 30 * minute, 30 * minute + 1, 50 * minute, 50 * minute + 1)
    for beat in (None, *edges):
        for claim in (None, *edges):
            for bash in (0, 10 * minute, 50 * minute):
                heartbeat = None if beat is None else now - beat
                claims = () if claim is None else (now - claim,)
                seen = StuckSnapshot(
                    now_ms=now,
                    heartbeat_at_ms=heartbeat,
                    claims=tuple(Claim(message_id="m1", claimed_at_ms=at_ms) for at_ms in claims),
                    tool=DeclaredTool(name="Bash", timeout_ms=bash) if bash else None,
                )
                kills = not isinstance(decide_stuck_action(seen), LeaveAlone)
                assert (detection.seed_rule(now, heartbeat, claims, bash) is not None) == kills, seen
                compared += kills
    assert compared > 50
