"""Which scenarios of the field catalogue's groups 1, 2, 3 and 12 can be played, in our words; and which are not ours?"""

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
    "MH-19": "health of channels: there are none yet; it comes with them",
    "LO-19": "background turns and notices to users come with schedules and channels; the wait itself is FK-05",
}

CONTAINERS = "tests/integration/containers/test_containers.py"
HOSTS = "tests/integration/containers/test_host_in_containers.py"
PROCESSES = "tests/integration/test_process_runner.py"
OCI = "tests/unit/test_oci_runtime.py"

ELSEWHERE = {
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
