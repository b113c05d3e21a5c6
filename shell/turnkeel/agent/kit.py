"""How does a Python program take messages, answer them, and show that it works?"""

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from turnkeel.agent.declared import Declarations
from turnkeel.agent.errors import NotInHand, UnsettledMessage
from turnkeel.agent.heartbeat import Heartbeat
from turnkeel.agent.hiding import error_note
from turnkeel.agent.intake import Intake
from turnkeel.agent.log import report
from turnkeel.agent.message import Message, message_of
from turnkeel.agent.outgoing import outgoing
from turnkeel.agent.place import (
    find_session_folder,
    read_incarnation,
    read_limits,
    read_login_policy,
    read_resume_policy,
)
from turnkeel.agent.resuming import Resuming, kept_resume
from turnkeel.agent.stopping import StopRequest
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.container_resume import KeptResume, ResumeHandles
from turnkeel_adapters.sessions.container_side import ClaimedWork, ClaimLost, ContainerFiles, ErrorNote, Reply, Routing
from turnkeel_core import (
    LoginPolicy,
    LoginRefused,
    LoginSnapshot,
    OutputPolicy,
    ResumeContext,
    ResumePolicy,
    decide_login,
)


def wall_ms() -> int:
    """Return the wall clock in epoch ms."""
    return time.time_ns() // 1_000_000


class Agent:
    """One running agent of a session; it beats from here to `close`, and takes one message at a time.

    On SIGTERM nothing new is begun: SystemExit ends the process with code 143 and the claim left in place if a message
    is in hand, with 0 otherwise. An exception that leaves the `with` block while a message is in hand is noted for the
    host, which tries the message again. Raises SessionFault for a folder that is no session.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        incarnation: int | None = None,
        beat_every_s: float = 1.0,
        handle_sigterm: bool = True,
        now_ms: Callable[[], int] = wall_ms,
        limits: OutputPolicy = OutputPolicy(),
        resume: ResumePolicy = ResumePolicy(),
        login: LoginPolicy = LoginPolicy(),
    ) -> None:
        """Open the session's files, drop claims of an earlier process, and start to beat."""
        self.folder = Path(folder).absolute()
        self.incarnation = incarnation
        self.limits = limits
        self._login = login
        self._now_ms = now_ms
        self._work: ClaimedWork | None = None
        self._routing: Routing | None = None
        self._lost: ErrorNote | None = None
        self._stop = StopRequest(lambda: self._work is not None, install=handle_sigterm)
        try:
            self._files = ContainerFiles(self.folder)
        except BaseException:
            self._stop.restore()
            raise
        try:
            self._files.clear_stale_claims()
            self._intake = Intake(self._files, self.folder / "inbound.db", report)
            self._declared = Declarations(self._files, now_ms, self._stop)
            self._resuming = Resuming(self._files, now_ms, self._stop, resume)
            self._heartbeat = Heartbeat(self._files.touch_heartbeat, beat_every_s, report)
        except BaseException:
            self._files.close()
            self._stop.restore()
            raise

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Open the session that the host named in the environment; raises NoSession."""
        folder = find_session_folder(environment, Path.cwd())
        return cls(
            folder,
            incarnation=read_incarnation(environment),
            limits=read_limits(environment),
            resume=read_resume_policy(environment),
            login=read_login_policy(environment),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, Exception):
                self._note_crash(error)
        finally:
            self.close()

    def close(self) -> None:
        """Stop beating and close the files; a message in hand stays claimed."""
        self._stop.restore()
        self._heartbeat.stop()
        self._files.close()

    def messages(self, *, poll_s: float = 0.1, stop_when_idle: bool = False) -> Iterator[Message]:
        """Yield message after message, oldest first, waiting for them unless `stop_when_idle`."""
        while (message := self.next_message(poll_s=poll_s, wait_s=0.0 if stop_when_idle else None)) is not None:
            yield message

    def next_message(self, *, poll_s: float = 0.1, wait_s: float | None = None) -> Message | None:
        """Claim the oldest due message, waiting up to `wait_s` seconds (None: for ever); None if there was none.

        Raises UnsettledMessage while the one before is in hand.
        """
        if self._work is not None:
            raise UnsettledMessage(f"message {self._work.message.message_id} is in hand: reply, or call done or fail")
        give_up_s = float("inf") if wait_s is None else time.monotonic() + wait_s
        self._intake.begin()
        while True:
            self._stop.leave_if_requested()
            if (message := self._take()) is not None:
                return message
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                return None
            time.sleep(min(poll_s, left_s))

    def reply(
        self, message: Message, text: str, attachments: Sequence[str | Path] = (), *, keep: KeptResume | None = None
    ) -> None:
        """Answer a message, with copies of these files, keep these handles, and settle it, in one transaction.

        Raises ClaimLost, OutputRefused over a limit or for a file that is none, ValueError for an empty text. After a
        refusal the message is still in hand.
        """
        if not text:
            raise ValueError("the reply is empty: call done to settle a message without an answer")
        reply = Reply(text=text, in_reply_to=message.id, routing=message.routing)
        self._settle(message, "completed", reply=reply, paths=attachments, keep=keep)

    def done(self, message: Message, *, keep: KeptResume | None = None) -> None:
        """Settle a message without an answer; raises ClaimLost."""
        self._settle(message, "completed", keep=keep)

    def fail(self, message: Message, reason: str, detail: str = "") -> None:
        """Give a message up for good, with the reason shown to people; raises ClaimLost.

        To have it tried again, end the process with the message in hand instead.
        """
        self._settle(message, "failed", note=error_note(reason, self._with_lost(detail)))

    def note_attempt(self, message: Message, reason: str, detail: str = "") -> None:
        """Say why this attempt failed; the message stays in hand, and is tried again once the process ends."""
        with self._stop.shielded():
            self._files.note_error(message.id, error_note(reason, self._with_lost(detail)), self._now_ms())

    def resume_handle(self, provider: str) -> str | None:
        """The conversation of this provider (`claude`, …) to go on with; None: begin a new one. Raises BadHandle."""
        return self.resume_handles(provider).session

    def resume_handles(self, provider: str) -> ResumeHandles:
        """The conversation, and the place in it where one was kept, for `recover_resume` if the run fails."""
        return ResumeHandles() if self._is_isolated() else self._resuming.handles(provider)

    def keep_resume(self, provider: str, handle: str, anchor: str | None = None) -> None:
        """Go on with this conversation from now on; raises BadHandle for what cannot be a handle.

        To store it together with the answer, give `reply` or `done` a `keep=kept_resume(...)` instead. That of an
        isolated message is not stored.
        """
        kept = kept_resume(provider, ResumeHandles(session=handle, anchor=anchor))
        if not self._is_isolated():
            self._resuming.keep(kept)

    def clear_resume(self, provider: str, *, if_still: str) -> bool:
        """Forget the conversation, unless another handle than this one is stored by now; whether it was forgotten."""
        return self._resuming.clear(provider, if_still)

    def recover_resume(self, provider: str, error: str, used: ResumeHandles, *, retried: bool = False) -> bool:
        """Judge the error of a run that was started with these handles: forget what it says is gone, and nothing else.

        True: run the message in hand again at once, with what `resume_handle` says then; `retried` tells that this was
        such a run. What was lost is told in the log, and noted with the message.
        """
        context: ResumeContext = "isolated" if self._is_isolated() else "group"
        found = self._resuming.recover(provider, error, used, context, retried=retried)
        work = self._work
        if found.reason and work is not None:
            self._lost = error_note(found.reason, found.detail)
            with self._stop.shielded():
                self._files.note_error(work.message.message_id, self._lost, self._now_ms())
        return found.retry

    def refused_login(self, error: str) -> str | None:
        """The line in which the error of a failed run says that the agent's login is refused; None: it does not.

        Then call `note_attempt`, and end the process with LOGIN_REFUSED and the message in hand: nothing is charged,
        and the host pauses the session until a person has logged in.
        """
        found = decide_login(LoginSnapshot(now_ms=self._now_ms(), error=error), self._login)
        return found.words if isinstance(found, LoginRefused) else None

    def say(self, text: str, attachments: Sequence[str | Path] = ()) -> None:
        """Send an extra text to where the message in hand, else the last one, came from, else to the session's chat.

        Raises as `reply` does.
        """
        if not text:
            raise ValueError("there is nothing to say: the text is empty")
        in_hand = None if self._work is None else self._work.message.message_id
        with self._stop.shielded():
            routing = self._files.default_routing() if self._routing is None else self._routing
            reply = Reply(text=text, in_reply_to=in_hand, routing=routing)
            with outgoing(self.folder, reply, attachments, self.limits, self._now_ms()) as whole:
                self._files.send(whole, self._now_ms())

    def progress(self) -> None:
        """Show that the work moves; cheap to call often (one write a second)."""
        self._declared.progress()

    def tool(self, name: str, timeout_s: float | None = None) -> AbstractContextManager[None]:
        """Declare that a tool runs for the length of the block, and how long it may take without a sign."""
        return self._declared.tool(name, None if timeout_s is None else round(timeout_s * 1000))

    def waiting(self, reason: str, *, until_at_ms: int | None = None) -> AbstractContextManager[None]:
        """Declare that the work waits (rate limit, approval) for the length of the block, not that it hangs."""
        return self._declared.waiting(reason, until_at_ms)

    def shielded(self) -> AbstractContextManager[None]:
        """Let the block finish before a SIGTERM takes effect; keep it short."""
        return self._stop.shielded()

    def _take(self) -> Message | None:
        with self._stop.shielded():
            work = self._intake.claim(self._now_ms())
            if work is None:
                return None
            self._work, self._routing, self._lost = work, work.message.routing, None
            return message_of(work)

    def _settle(
        self,
        message: Message,
        outcome: Literal["completed", "failed"],
        reply: Reply | None = None,
        note: ErrorNote | None = None,
        paths: Sequence[str | Path] = (),
        keep: KeptResume | None = None,
    ) -> None:
        work = self._work
        if work is None or work.message.message_id != message.id:
            raise NotInHand(f"message {message.id} is not in hand: it is settled already, or was never taken here")
        with self._stop.shielded(), ExitStack() as held:
            if reply is not None:
                reply = held.enter_context(outgoing(self.folder, reply, paths, self.limits, self._now_ms()))
            kept = None if work.message.stands_alone else keep
            self._files.settle(work, outcome, reply, self._now_ms(), note or self._lost, kept)
            self._work = None

    def _is_isolated(self) -> bool:
        return self._work is not None and self._work.message.stands_alone

    def _note_crash(self, error: Exception) -> None:
        if self._work is None or isinstance(error, ClaimLost):
            return
        detail = self._with_lost("".join(traceback.format_exception(error)))
        note = error_note(type(error).__name__, detail)
        try:
            self._files.note_error(self._work.message.message_id, note, self._now_ms())
        except SessionFault as fault:
            report(f"the reason of the failed attempt could not be noted: {fault}")

    def _with_lost(self, detail: str) -> str:
        """A failure after a lost conversation is told together with it."""
        return detail if self._lost is None else f"{self._lost.reason}: {self._lost.detail}\n{detail}"
