"""Which tests wait for the long suite although they are of a kind that mostly runs fast?

Each takes a second or more, and a quicker test of the same law stays in the default run. `.ci/run` runs all.
"""

import os
import signal
import threading

import pytest
from hypothesis import HealthCheck, settings

# The same examples in each run, however slow the machine is; with SEED set, new ones, as for the trials with kills.
settings.register_profile(
    "steady",
    derandomize="SEED" not in os.environ,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")

# A shell without job control starts what is in the background deaf to SIGINT, and so would be every host under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = (
    "test_one_session.py::test_a_healthy_container_is_left_alone_for_as_long_as_it_declares[a wait of 40",
    "test_cli_talk.py::test_an_agent_named_by_a_path",
    "test_limits.py::test_an_agent_command_that_does_not_exist_is_said_and_no_message_is_lost[a program in",
    "test_limits.py::test_more_sessions_than_slots",
    "test_runaway.py::test_replies_over_the_limits_and_links",
    "test_redaction.py::test_half_a_secret_at_the_end",
    "test_storage_trouble.py::test_a_session_whose_disk_fills_up",
    "test_storage_trouble.py::test_a_session_folder_that_is_deleted",
    "test_agent_resume.py::test_handles_survive_a_kill",
    "test_demo.py::test_the_demo_on_a_terminal",
    "schedules/test_kills.py::test_a_host_killed_between",
    "test_bad_files.py::test_odd_rows_are_answered",
    "test_cli_talk.py::test_a_sent_message_is_answered_by_a_host_that_sleeps",
    "test_cli_schedules.py::test_the_host_carries_out_what",
    "test_redaction.py::test_what_is_said_in_a_conversation",
    "test_runaway.py::test_at_its_runs_per_hour",
    "test_state_database.py::test_processes_that_open_write_and_close_all_the_time_lose_nothing_and_leave_one_plain_file[del",
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
    "test_state_database.py::test_a_writer_killed_at_any_instant_leaves_every_acknowledged_row",
    "test_state_shared_commits.py::test_a_process_killed_among_shared_commits_leaves_every_acknowledged_row_and_no_half_one[del",
    "test_until_idle.py::test_a_host_until_idle_ends_when_no_try_of_a_reply_is_to_come[the chat named",
    "test_every_step.py::test_a_host_killed_at_any_step_leaves_the_same_end[the agent gives",
    "test_every_step.py::test_a_host_killed_at_any_step_leaves_the_same_end[the last try",
    "test_redaction.py::test_a_key_that_an_agent_prints_and_dies_with",
    "host/test_kills.py::test_an_agent_killed_at_random_instants",
    "test_bad_files.py::test_broken_files_are_named_left_as_they_are",
    "test_bad_files.py::test_a_locked_session_does_not_stop_the_others",
    "test_process_adoption.py::test_twenty_agents",
    "test_process_adoption.py::test_only_one_host_at_a_time",
    "test_process_adoption.py::test_adoptions_leak",
    "test_process_adoption.py::test_a_stopped_guard",
    "test_process_adoption.py::test_an_agent_can_lose_one_host",
    "test_idle_cost.py::test_a_full_look_at_idle_sessions",
    "test_cli_control.py::test_a_session_is_closed_and_deleted_while",
    "test_cli_control.py::test_a_reply_over_the_limit",
    "test_limits.py::test_agent_exec_around_a_program_that_sleeps",
    "test_limits.py::test_an_idle_container_makes_room",
    "test_limits.py::test_an_agent_that_always_fails",
    "test_limits.py::test_an_idle_agent_is_stopped",
    "test_cli_talk.py::test_run_until_idle_ends_with_1",
    "test_cli_talk.py::test_a_second_host_is_refused",
    "test_cli_talk.py::test_a_line_that_fails",
    "test_cli_schedules.py::test_a_run_by_hand",
    "test_cli_schedules.py::test_a_run_of_many_missed",
    "test_cli_schedules.py::test_what_was_missed",
    "test_real_processes.py::test_CR_20",
    "test_real_processes.py::test_LO_04",
    "test_real_processes.py::test_LO_15",
    "test_whole_host.py::test_MH_16",
    "test_whole_host.py::test_FK_10",
    "test_clock_steps.py::test_a_healthy_container_survives",
    "host/test_resume.py::test_a_rate_limit",
    "host/test_resume.py::test_patterns_of",
    "test_storage_trouble.py::test_what_an_operator_cleared",
    "test_storage_trouble.py::test_a_session_folder_replaced_by_a_link_is_refused_and_nothing_is_written_through_it[its agent",
    "test_storage_trouble.py::test_a_disk_without_room",
    "test_until_idle.py::test_a_host_until_idle_ends_when_no_try_of_a_reply_is_to_come[only",
    "test_until_idle.py::test_a_reply_that_waits_for_its",
    "test_runaway.py::test_attempts_that_fail_count",
    "delivery/test_senders.py::test_a_host_tells_at_its_start",
    "test_two_hosts.py::test_D3_a_sender_killed_in_a_call_is_followed_up_by_what_the_channel_can[askable",
    "test_two_hosts.py::test_D3_a_sender_killed_in_a_call_is_followed_up_by_what_the_channel_can[neither",
    "test_agent_resume.py::test_a_run_out_of_time",
    "test_killed_writers.py::test_a_writer_that_lives_is_waited_for",
    "test_lab_chat.py::test_both_channels_make_the_same",
    "test_lab_chat.py::test_what_comes_too_late",
    "test_process_runner.py::test_a_flood_of_output",
    "test_order.py::test_a_message_sent_by_another_process_is_claimed_in_well_under_a_second[container",
    "host/test_kills.py::test_an_agent_whose_host_has_no_successor",
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
    *(f"test_random_lives.py::test_a_random_life_breaks_no_law[{seed}-" for seed in (10, 20, 30, 40, 50)),
)


def pytest_xdist_auto_num_workers():
    """Half as many again as there are processors: much of what is tested waits for other processes."""
    return (os.cpu_count() or 1) * 3 // 2 or 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if any(slow in item.nodeid for slow in SLOW):
            item.add_marker(pytest.mark.long)
