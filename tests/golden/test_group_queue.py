"""Who starts, waits, is tried again and is asked to leave when groups share places, step by step?"""

from attrs import evolve, frozen

from turnkeel_core import (
    EndRun,
    GiveUp,
    HoldStart,
    PlacesTaken,
    RetryAt,
    RetryPolicy,
    RetrySnapshot,
    RunningPlace,
    SetTimer,
    StartNow,
    StartPolicy,
    StartRequest,
    StartSnapshot,
    WorkClaimed,
    YieldPlace,
    decide_retry,
    plan_starts,
)

KIND = "group_queue"


def test_every_step_of_the_queue(vector):
    given = vector["input"]
    queue = GroupQueue(given["max_concurrent"])
    assert [queue.step(event) for event in given["events"]] == vector["expected"]["steps"]


@frozen
class Run:
    """A run under way: its place, and whether its container has made itself known."""

    place: RunningPlace
    registered: bool = False


class GroupQueue:
    """The harness: one container a group; the core says who starts, waits and leaves, and how long a failure waits."""

    def __init__(self, places):
        self.policy = StartPolicy(max_running=places, max_running_per_group=1)
        self.now = self.made = 0
        self.groups, self.runs, self.timers, self.waiting = {}, {}, {}, []
        self.queue, self.ended, self.effects, self.draining = [], (), [], False

    def step(self, event):
        self.effects = []
        if "group" in event:
            self.groups.setdefault(event["group"], 0)
        getattr(self, event["op"])(event)
        return {
            "effects": self.effects,
            "active_count": len(self.runs),
            "waiting": self.waiting,
            "groups": {group: self.state(group) for group in self.groups},
        }

    def enqueue_message(self, event):
        self.ask(StartRequest(session=event["group"]))

    def enqueue_task(self, event):
        self.made += 1
        name = f"{event['group']}/{event['task']}-{self.made}"
        self.ask(StartRequest(session=name, kind="task", work=(event["task"],)))

    def ask(self, request):
        if not self.draining:
            self.queue.append(request)
            self.plan(request)

    def register(self, event):
        self.runs[event["group"]] = evolve(self.runs[event["group"]], registered=True)

    def idle(self, event):
        self.is_idle_since(event["group"], self.now)

    def send(self, event):
        run = self.runs.get(event["group"])
        piped = run is not None and run.registered and not run.place.work
        self.effects.append({"piped": piped})
        if piped:
            self.is_idle_since(event["group"], None)

    def close(self, event):
        run = self.runs.get(event["group"])
        if run is not None and run.registered:
            self.effects.append({"close_container": event["group"]})

    def finish(self, event):
        group, result = event["group"], event["result"]
        ended = self.runs.pop(group).place
        if ended.work and result == "throw":
            self.effects.append({"task_failed": ended.work[0]})
        elif not ended.work and result == "ok":
            self.groups[group] = 0
        elif not ended.work:
            self.failed(group)
        self.ended = (ended,)
        self.plan()

    def failed(self, group):
        match decide_retry(RetrySnapshot(now_ms=self.now, tries=self.groups[group]), RetryPolicy()):
            case RetryAt(tries, at_ms):
                self.groups[group] = tries
                self.queue.append(StartRequest(session=group, not_before_ms=at_ms))
            case GiveUp():
                self.groups[group] = 0
                self.effects.append({"give_up": group})

    def advance(self, event):
        end = self.now + event["ms"]
        while (at_ms := min(self.timers.values(), default=end)) < end:
            self.now = at_ms
            self.plan()
        self.now = end
        self.plan()

    def shutdown(self, _):
        self.draining = True
        known = {run.place.session: group for group, run in self.runs.items() if run.registered}
        asked = [action.session for action in self.answers() if isinstance(action, EndRun)]
        self.effects.append({"detached": [known[session] for session in asked if session in known]})

    def is_idle_since(self, group, at_ms):
        if group in self.runs:
            run = self.runs[group]
            self.runs[group] = evolve(run, place=evolve(run.place, idle_since_ms=at_ms))
            self.plan()

    def answers(self):
        running = tuple(run.place for run in self.runs.values())
        seen = StartSnapshot(
            now_ms=self.now, running=running, waiting=tuple(self.queue), ended=self.ended, draining=self.draining
        )
        return plan_starts(seen, self.policy)

    def plan(self, asked=None):
        answers, requests = self.answers(), {request.session: request for request in self.queue[::-1]}
        # One for the container that runs stays: it gets no answer before that has ended.
        requests |= {request.session: request for request in self.queue if request.not_before_ms is not None}
        queue, waiting, timers = [], [], {}
        for action in answers:
            match action:
                case StartNow(session, ahead):
                    self.start(requests.pop(session), ahead)
                case HoldStart(session, _, because):
                    request = requests.pop(session)
                    if asked is not None and session == asked.session and isinstance(because, WorkClaimed):
                        runs = because.session in {run.place.session for run in self.runs.values()}
                        self.effects.append({"duplicate_running" if runs else "duplicate_pending": because.work})
                        continue
                    queue.append(request)
                    if isinstance(because, PlacesTaken):
                        waiting.append(request.group)
                case YieldPlace(session):
                    self.ask_to_leave(session)
                case SetTimer(group, at_ms):
                    timers[group] = at_ms
                    if self.timers.get(group) != at_ms:
                        self.effects.insert(0, {"schedule_retry": group, "delay_ms": at_ms - self.now})
                case EndRun():
                    pass
        self.queue, self.timers, self.ended = [*queue, *requests.values()], timers, ()
        if not self.draining:
            self.waiting = list(dict.fromkeys(waiting))

    def start(self, request, ahead):
        place = RunningPlace(session=request.session, work=request.work, ahead=ahead)
        assert request.group not in self.runs, "one container a group"
        self.runs[request.group] = Run(place)
        name = {"start_task": [request.group, request.work[0]]} if request.work else {"start_messages": request.group}
        self.effects.append(name)

    def ask_to_leave(self, session):
        [(group, run)] = [(group, run) for group, run in self.runs.items() if run.place.session == session]
        self.runs[group] = evolve(run, place=evolve(run.place, asked=True))
        self.effects.append({"close_container": group})

    def state(self, group):
        run = self.runs.get(group)
        own = [request for request in self.queue if request.group == group]
        return {
            "active": run is not None,
            "idle": run is not None and run.place.idle_since_ms is not None,
            "task_container": run is not None and bool(run.place.work),
            "running_task": run.place.work[0] if run is not None and run.place.work else None,
            "pending_messages": any(not r.work and self.is_pending(r) for r in own),
            "pending_tasks": [request.work[0] for request in own if request.work],
            "retry_count": self.groups[group],
        }

    def is_pending(self, request):
        """Not one that backs off, or one that the end of the host has taken its timer from."""
        return request.not_before_ms is None or (request.not_before_ms <= self.now and not self.draining)
