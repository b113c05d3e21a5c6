"""Which tests wait for the long suite although they are of a kind that mostly runs fast?

Each takes a second or more, and a quicker test of the same law stays in the default run. `.ci/run` runs all.
"""

import pytest

SLOW = (
    "test_demo.py::test_the_demo_on_a_terminal",
    "test_demo.py::test_the_demo_in_plain_lines",
    "test_core_schedule_laws.py::test_around_every_change_of_the_clocks",
    "schedules/test_kills.py::test_an_interval_and_a_cron_survive",
    "schedules/test_kills.py::test_a_host_killed_inside",
    "test_order.py::test_a_row_that_another_host_completed_recurs",
    "host/test_kills.py::test_hosts_killed_at_random_instants_lose_nothing",
    "host/test_kills.py::test_a_host_asked_to_stop_under_load",
    "host/test_kills.py::test_a_second_host_is_refused_while",
    "host/test_kills.py::test_a_healthy_agent_that_claims_in_the_second",
    "test_legacy_import.py::test_killed_at_any_step",
    "test_clock.py::test_a_hang_is_found_after_one_tolerance",
    "test_clock.py::test_a_message_due_later_is_claimed",
    "test_process_adoption.py::test_an_adoption_ends_the_wait",
    "test_process_adoption.py::test_a_guard_that_does_not_answer",
    "test_process_adoption.py::test_an_agent_nobody_comes_for_is_ended_after_the_limit[trap",
    "test_state_database.py::test_a_writer_killed_at_any_instant_leaves_every_acknowledged_row[delete]",
    "test_state_shared_commits.py::test_a_process_killed_among_shared_commits_leaves_every_acknowledged_row_and_no_half_one[del",
    "test_until_idle.py::test_a_host_until_idle_ends_when_no_try_of_a_reply_is_to_come[the chat named",
    "test_every_step.py::test_a_host_killed_at_any_step_leaves_the_same_end[the agent gives",
    "test_every_step.py::test_a_host_killed_at_any_step_leaves_the_same_end[the last try",
    "test_process_runner.py::test_many_starts_and_stops_leak",
    "test_process_runner.py::test_close_ends_everything",
    "test_process_runner.py::test_a_stopped_guard",
    "test_agent_exec.py::test_a_log_that_nobody_reads",
    "test_agent_exec.py::test_a_failed_run_leaves_the_claim_and_its_reason[timeout ignoring TERM]",
    "test_every_step.py::test_a_host_killed_at_any_step_leaves_the_same_end[a container hangs",
    "test_every_step.py::test_a_host_killed_at_any_step_leaves_the_same_end[a container crashed",
    "test_kills.py::test_a_message_in_hand_at_a_graceful_stop",
    "test_limits.py::test_a_stopped_process_is_found",
    "test_limits.py::test_a_container_that_keeps_dying",
    "test_order.py::test_a_second_host_on_the_same_data_directory",
    "test_bad_files.py::test_a_full_disk",
    "test_bad_files.py::test_a_session_folder_that_changes_under_a_running_agent_harms_no_other_session[a file]",
    "test_bad_files.py::test_a_session_folder_that_changes_under_a_running_agent_harms_no_other_session[a link]",
    "test_one_session.py::test_a_recurring_message_is_answered_every_hour",
    "test_one_session.py::test_a_silent_hang_is_found_at_the_latest",
    "test_one_session.py::test_a_retry_delay_that_the_clock_moved",
    "test_one_session.py::test_a_message_for_later",
    "test_one_session.py::test_a_healthy_container_is_left_alone_for_as_long_as_it_declares[progress",
    *(f"test_random_lives.py::test_a_random_life_breaks_no_law[{seed}-" for seed in (20, 30, 40, 50)),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if any(slow in item.nodeid for slow in SLOW):
            item.add_marker(pytest.mark.long)
