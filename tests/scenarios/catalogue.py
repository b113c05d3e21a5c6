"""Which scenarios of the field's groups 1-3, 8-10, 12 and 13 can be played, in our words; and which are not ours?"""

TITLES = {
    "FK-01": "a newcomer judged by what its predecessor left, in the pass that spawned it",
    "FK-02": "an old heartbeat file taken for the newcomer's",
    "FK-03": "claim ages that depend on the host's time zone",
    "FK-04": "a retry for later that runs at once elsewhere on the globe",
    "FK-05": "a rate limit taken for a hang",
    "FK-06": "a slow model taken for a hang, and a keep-alive that vouches for ever",
    "FK-07": "a sleep of the machine charged to the agent",
    "FK-08": "two clock reads that straddle a resume",
    "FK-10": "a second executor beside a first that still works",
    "FK-11": "a slow set-up taken for a hang",
    "FK-13": "evidence of one incarnation held against the next",
    "FK-14": "a replacement started because a wait for the first ran out",
    "FK-15": "a wait for an approval taken for a hang",
    "FK-16": "a long turn cut off by one ceiling for all",
    "MH-01": "no heartbeat ever, and therefore no limit",
    "MH-02": "a detector that only logs",
    "MH-03": "an abort reported as done that freed nothing",
    "MH-04": "a living handle taken for progress",
    "MH-05": "a tool call that never returns",
    "MH-09": "retries with the configuration of long ago",
    "MH-10": "a state that no rule looks at",
    "MH-11": "a wake-up handed to somebody dead",
    "MH-13": "a crash that leaves no final word",
    "MH-14": "a turn without text that never counts as done",
    "MH-15": "follow-ups stuck behind a recovered run",
    "MH-16": "retries inside a turn without a budget for all of them",
    "MH-18": "a run that ends empty and unnoticed",
    "MH-19": "a channel that is connected and deaf",
    "MH-20": "a recovery that fails and is not tried again",
    "MH-21": "an inner retry that keeps a session busy for ever",
    "MH-22": "supervision tied to a handle in memory",
    "MH-24": "one beat after the claim, and then immunity",
    "LO-01": "claims that outlive the container that made them",
    "LO-02": "charges per look instead of per attempt",
    "LO-03": "two installs that reap each other's containers",
    "LO-04": "two hosts that start the same session",
    "LO-05": "a message whose run ends the host, again and again",
    "LO-07": "a series that forks when an occurrence runs twice",
    "LO-09": "crash recoveries without a limit",
    "LO-10": "an old plan carried out on rows that have moved on",
    "LO-12": "claims of a dead owner that wait for a long limit",
    "LO-13": "recovery that misses rows without an optional value",
    "LO-14": "a claim taken while shutting down",
    "LO-15": "a lock file that outlives its owner",
    "LO-17": "an old host that drains beside a new one",
    "LO-19": "a rate-limited turn repeated in step, with a notice each time",
    "LO-21": "a session lock of a process that is dead",
    "SC-01": "a restart in the middle of a scheduled run, which starts it again",
    "SC-02": "times of a series that are counted from the end of each run",
    "SC-03": "a run by hand that moves the schedule",
    "SC-04": "a schedule read in the zone of the server",
    "SC-05": "missed days, and no way to say what becomes of them",
    "SC-06": "one due time that fires two or three times",
    "SC-08": "the night of a clock change: a daily run twice, or not at all",
    "SC-09": "what was due while no host ran, and vanished",
    "SC-10": "a run of a paused schedule, recorded as a success",
    "SC-11": "runs of a schedule that share one conversation unasked",
    "SC-13": "a restart of seconds at the very time, and the run lost for a day",
    "SC-14": "a run made up for when it can only do harm",
    "SC-15": "a run that ended badly and blocks all that come",
    "SC-16": "a start that takes the runs of another live process for dead",
    "SC-18": "a job slower than its interval that never runs again",
    "SC-19": "a long job that makes the others of the same look miss their time",
    "SC-20": "one grace for every period",
    "SC-21": "a run on Sunday for Friday, and no word of why",
    "SC-22": "a time that did not run and has no row",
    "SC-23": "a clock that is set, and schedules that wait or fire at once",
    "SC-25": "a scheduler that ticks only while somebody looks",
    "SE-01": "a dead conversation handle that fails every message",
    "SE-02": "a new runner that has forgotten everything, and says nothing",
    "SE-06": "an expired login that burns the retries of every message",
    "SE-07": "an interrupted side effect taken for a success, or done again",
    "DD-01": "what is known of messages, lost with the process",
    "DD-02": "a failed message that comes again as a new one",
    "DD-03": "a message that is delivered forty times and answered as often",
    "DD-04": "a channel that sends its past again",
    "DD-05": "the same words again, dropped as a duplicate",
    "DD-08": "an agent's own words that start it again",
    "DD-09": "a row written again, told as a failure",
    "DD-10": "a name used again by the platform, and the message dropped without a trace",
    "SX-01": "file names of a container that lead out of its folder",
    "SX-02": "a link in the place of a folder that the host writes to",
    "SX-04": "a session name that leads out of the tree",
    "SX-06": "an approval that shows less than it allows",
    "SX-07": "secrets in logs that everybody can read",
    "SX-10": "a sandbox that is configured and not in effect",
    "SX-11": "the runtime's socket or the system's folders as a mount",
    "SX-12": "a door that trusts whoever is on the same machine",
    "SX-13": "a door whose secret is empty",
    "CR-01": "the client killed, the container not",
    "CR-06": "a container that the host believes dead",
    "CR-07": "a stop that was refused and logged as done",
    "CR-10": "out of memory, told as nothing in particular",
    "CR-12": "two hosts on one data directory",
    "CR-14": "a host that ends because its runtime is not up yet",
    "CR-16": "an exit code that does not say who did it",
    "CR-17": "a drain longer than the service manager allows",
    "CR-20": "a second start that harms the running host",
    "CR-22": "a corpse that holds the container's name",
    "CR-24": "a runtime whose word is wrong after its restart",
    "CR-26": "a command that goes on inside after its turn was ended",
}

NOT_HERE = {
    "MH-09": "configuration is read once, at start, and `check` shows it; nothing is reloaded while the host runs",
    "MH-19": "no channel listens here: messages are brought to the ingress, and who brings one is told what became of it",
    "SX-06": "there are no approvals here: an agent asks for what it needs in its own conversation",
    "LO-19": "a turn is told of once, when it has failed; its retries wait longer each time; a declared wait is FK-05",
}

CONTAINERS = "tests/integration/containers/test_containers.py"
HOSTS = "tests/integration/containers/test_host_in_containers.py"
PROCESSES = "tests/integration/test_process_runner.py"
OCI = "tests/unit/test_oci_runtime.py"

RESUME = "tests/integration/test_agent_resume.py"
RESUME_HOST = "tests/integration/host/test_resume.py"
LOGIN = "tests/integration/host/test_login.py"
SENDER = "tests/integration/delivery/test_sender.py"
FOLLOW = "tests/integration/delivery/test_follow.py"
SCHEDULE_KILLS = "tests/integration/schedules/test_kills.py"
SCHEDULE_COMMANDS = "tests/integration/test_cli_schedules.py"
ATTACHMENTS = "tests/integration/channels/test_attachments.py"
AGENT_FILES = "tests/integration/test_agent_attachments.py"
TREE = "tests/integration/test_session_tree.py"
INGRESS = "tests/integration/channels/test_ingress.py"
REDACTION = "tests/integration/test_redaction.py"
MOUNTS = "tests/integration/containers/test_mounts_in_containers.py"

ELSEWHERE = {
    "SC-01": (
        f"{SCHEDULE_KILLS}::test_an_interval_and_a_cron_survive_kills_during_their_runs_without_a_double_or_lost_firing",
        f"{SCHEDULE_KILLS}::test_a_host_killed_between_the_claim_and_the_inbox_loses_nothing_and_runs_nothing_twice",
    ),
    "SC-11": (f"{RESUME}::test_a_task_that_stands_alone_neither_goes_on_with_the_conversation_nor_leaves_one",),
    "SC-25": (
        f"{SCHEDULE_COMMANDS}::test_status_says_when_the_schedules_were_looked_at_and_warns_when_a_host_no_longer_does",
    ),
    "SE-01": (
        f"{RESUME}::test_a_stale_handle_recovers_in_one_retry_within_the_same_claim",
        f"{RESUME_HOST}::test_a_stale_handle_recovers_in_one_retry_uncharged_and_why_tells_what_was_lost",
        f"{RESUME_HOST}::test_a_rate_limit_is_charged_and_keeps_its_handle",
    ),
    "SE-02": (
        f"{RESUME}::test_handles_survive_a_kill_of_the_agent_at_work",
        f"{RESUME}::test_a_second_failure_is_an_ordinary_one_and_says_what_was_lost",
    ),
    "SE-06": (f"{LOGIN}::test_SE_06_an_expired_login_pauses_its_session_tells_it_once_and_burns_no_retry",),
    "SE-07": (
        f"{SENDER}::test_R6_a_tool_row_is_never_sent_after_a_restart",
        f"{SENDER}::test_R6_a_tool_row_under_way_at_a_kill_is_not_sent_again",
        f"{FOLLOW}::test_a_run_that_must_not_be_repeated_fails_when_its_container_dies",
    ),
    "DD-01": (f"{INGRESS}::test_a_host_killed_between_commit_and_answer_makes_the_next_try_a_duplicate",),
    "SX-01": (
        f"{ATTACHMENTS}::test_what_an_agent_puts_in_the_place_of_a_file_is_neither_described_nor_read",
        f"{ATTACHMENTS}::test_a_reply_whose_name_leads_elsewhere_removes_and_reads_nothing",
        f"{ATTACHMENTS}::test_removing_follows_no_link",
    ),
    "SX-02": (
        f"{TREE}::test_a_link_leads_nowhere",
        f"{AGENT_FILES}::test_an_outbox_that_is_a_link_is_not_written_through",
    ),
    "SX-07": (f"{REDACTION}::test_a_key_that_an_agent_prints_and_dies_with_is_nowhere",),
    "SX-10": (f"{HOSTS}::test_a_host_starts_while_the_daemon_is_down_and_works_when_it_is_there",),
    "SX-11": (
        f"{MOUNTS}::test_a_container_sees_its_mounts_exactly_as_decided",
        f"{MOUNTS}::test_a_link_swapped_in_between_the_decision_and_the_start_is_refused",
    ),
    "SX-12": (f"{INGRESS}::test_who_does_not_know_the_token_is_told_nothing",),
    "LO-03": (
        f"{PROCESSES}::test_LO_03_two_installs_do_not_see_each_other",
        f"{CONTAINERS}::test_two_installs_on_one_daemon_see_and_stop_only_their_own",
        f"{HOSTS}::test_two_installs_on_one_daemon_do_not_touch_each_other",
    ),
    "LO-12": (f"{HOSTS}::test_an_agent_that_ended_while_no_host_was_there_is_recorded_with_its_end",),
    "MH-22": (f"{HOSTS}::test_a_container_outlives_a_killed_host_and_the_next_one_takes_it_over",),
    "CR-01": (
        f"{CONTAINERS}::test_a_killed_client_leaves_a_container_that_is_still_found",
        f"{HOSTS}::test_a_killed_client_program_changes_nothing",
    ),
    "CR-07": (f"{OCI}::test_a_container_that_outlives_kill_is_still_there_with_its_process_and_the_runtimes_word",),
    "CR-10": (f"{CONTAINERS}::test_a_container_that_eats_its_memory_is_seen_as_out_of_memory",),
    "CR-14": (f"{HOSTS}::test_a_host_starts_while_the_daemon_is_down_and_works_when_it_is_there",),
    "CR-16": (f"{CONTAINERS}::test_how_a_container_ended_is_evidence",),
    "CR-22": (
        f"{CONTAINERS}::test_CR_22_a_corpse_that_holds_the_name_is_removed_if_it_is_ours",
        f"{CONTAINERS}::test_a_foreign_container_that_holds_the_name_is_left_alone_and_named",
    ),
    "CR-24": (
        f"{CONTAINERS}::test_a_daemon_that_hangs_is_a_state_that_passes",
        f"{CONTAINERS}::test_a_daemon_that_is_stopped_and_started_again_is_a_state_that_passes",
        f"{HOSTS}::test_a_daemon_that_stops_and_comes_back_is_shown_and_charged_to_nobody",
    ),
    "CR-26": (
        f"{PROCESSES}::test_CR_26_no_descendant_survives_however_it_hid",
        f"{CONTAINERS}::test_a_first_process_that_ignores_term_is_killed",
    ),
}
"""Tests in other folders that play a scenario of the catalogue."""
