"""Which tests wait for the long suite although they are of a kind that mostly runs fast?

Each takes a second or more, and a quicker test of the same law stays in the default run. `.ci/run` runs all.
"""

import pytest

SLOW = (
    "test_demo.py::test_the_demo_on_a_terminal",
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
