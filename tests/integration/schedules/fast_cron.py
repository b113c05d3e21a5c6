"""The command line with a short cron: fast_cron.py ARGS; its minutes last two seconds, all else is as it is.

Nothing but the cron's own clock is shortened: nominal times are mapped to real ones and back, so a host, its agents and
its store see real instants. With DIE in its environment the process kills itself at that point of the first run.
"""

import os
import signal
import sys

from turnkeel.cli.app import run_command_line
from turnkeel.schedules import firing, looking, scheduler
from turnkeel_core import schedule_due, schedule_next
from turnkeel_core.schedule import CronRun, next_cron_run

FASTER = 30
BASE_MS = 1_795_000_000_000 // 60_000 * 60_000


def short(cron, zone, after_ms):
    answer = next_cron_run(cron, zone, BASE_MS + (after_ms - BASE_MS) * FASTER)
    return CronRun(BASE_MS + (answer.at_ms - BASE_MS) // FASTER) if isinstance(answer, CronRun) else answer


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_inbox(ports, started, now_ms):
    if started:
        die()


def die_after_the_claim(*given, **more):
    if firing.claim(*given, **more) is not None:
        die()


if __name__ == "__main__":
    schedule_due.next_cron_run = schedule_next.next_cron_run = short
    match os.environ.get("DIE"):
        case "before the inbox":
            scheduler.deliver = die_before_the_inbox
        case "in the transaction":
            looking.claim = die_after_the_claim
    sys.exit(run_command_line(sys.argv[1:]))
