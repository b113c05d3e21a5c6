"""Does the next run go on with the conversation of the last one, and when is a conversation given up?"""

from collections.abc import Callable

from attrs import frozen

from turnkeel.agent.log import report
from turnkeel.agent.stopping import StopRequest
from turnkeel_adapters.sessions.container_resume import KeptResume, ResumeHandles, check_handles
from turnkeel_adapters.sessions.container_side import ContainerFiles
from turnkeel_adapters.sessions.providers import provider_key
from turnkeel_core import (
    ClearAnchor,
    ClearSession,
    KeepResume,
    ResumeContext,
    ResumePolicy,
    ResumeSnapshot,
    RetryFresh,
    should_clear_resume,
)


@frozen(kw_only=True)
class Recovery:
    """What was made of a failed run: whether the message is to be run again at once, and what was lost, in words."""

    retry: bool = False
    reason: str = ""
    detail: str = ""


class Resuming:
    """The session's handles by provider, kept in the same file as its claims and replies; safe in several threads."""

    def __init__(
        self, files: ContainerFiles, now_ms: Callable[[], int], stop: StopRequest, policy: ResumePolicy
    ) -> None:
        self._files = files
        self._now_ms = now_ms
        self._stop = stop
        self._policy = policy

    def handles(self, provider: str) -> ResumeHandles:
        """The handles to start the next run with."""
        with self._stop.shielded():
            return self._files.resume_handles(provider_key(provider), self._now_ms())

    def keep(self, kept: KeptResume) -> None:
        """Store new ones."""
        with self._stop.shielded():
            self._files.keep_resume(kept, self._now_ms())

    def clear(self, provider: str, if_still: str) -> bool:
        """Forget the conversation if the stored handle is still this one; whether it was."""
        with self._stop.shielded():
            return self._files.clear_session(provider_key(provider), if_still)

    def clear_anchor(self, provider: str, if_still: str) -> bool:
        """Forget the place in the conversation if it is still this one; whether it was."""
        with self._stop.shielded():
            return self._files.clear_anchor(provider_key(provider), if_still)

    def recover(
        self, provider: str, error: str, used: ResumeHandles, context: ResumeContext, *, retried: bool
    ) -> Recovery:
        """Clear what the error of a run started with `used` says is gone; the agent's log tells what was lost."""
        seen = ResumeSnapshot(
            now_ms=self._now_ms(),
            error=error,
            context=context,
            session=used.session,
            anchor=used.anchor,
            retried=retried,
        )
        found = Recovery()
        for action in should_clear_resume(seen, self._policy):
            match action:
                case KeepResume():
                    pass
                case ClearAnchor(handle, pattern):
                    if self.clear_anchor(provider, handle):
                        found = _lost("anchor_lost", f"{provider} lost its place {handle}", pattern)
                case ClearSession(handle, pattern):
                    if self.clear(provider, handle):
                        found = _lost("context_lost", f"{provider} knows conversation {handle} no more", pattern)
                case RetryFresh():
                    found = Recovery(retry=True, reason=found.reason, detail=found.detail)
        if found.retry or found.reason:
            report(found.detail or f"{provider} was run with a handle that is stored no more")
        return found


def kept_resume(provider: str, handles: ResumeHandles) -> KeptResume:
    """The handles as they are stored; raises BadHandle."""
    return KeptResume(provider=provider_key(provider), handles=check_handles(handles))


def _lost(reason: str, what: str, pattern: str) -> Recovery:
    return Recovery(reason=reason, detail=f"{what} (found: {pattern})")
