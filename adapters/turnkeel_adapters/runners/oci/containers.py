"""What can be asked of a runtime, in its own words? Troubles and answers that make no sense are RuntimeUnavailable."""

from turnkeel_adapters.runners.oci.argv import INSTALL_LABEL, SESSION_LABEL
from turnkeel_adapters.runners.oci.command import Done, Refused, RuntimeCommand
from turnkeel_adapters.runners.oci.errors import RuntimeUnavailable
from turnkeel_adapters.runners.oci.health import DaemonDown, ProgramMissing, Unresponsive, describe_trouble
from turnkeel_adapters.runners.oci.seen import Seen, parse_ids, parse_inspect

_ON_ITS_WAY = "is already in progress"
_GONE_SIGNS = ("no such container", "no such object", "no container with name or id", "no container with id")


class Containers:
    """The containers that one client program shows."""

    def __init__(self, command: RuntimeCommand) -> None:
        self._command = command

    def inspect(self, reference: str, *, urgent: bool = False) -> Seen | None:
        """One container by name or id; None if there is none. RuntimeUnavailable."""
        found = self._inspect((reference,), urgent=urgent)
        return found[0] if found else None

    def own(self, install_id: str, session: str | None = None) -> tuple[Seen, ...]:
        """All containers of an install, or of one of its sessions, running or not. RuntimeUnavailable."""
        labels = {INSTALL_LABEL: install_id, **({} if session is None else {SESSION_LABEL: session})}
        filters = [part for name, value in labels.items() for part in ("--filter", f"label={name}={value}")]
        outcome = self._command.call("ps", "--all", "--quiet", "--no-trunc", *filters)
        ids = parse_ids(_answer(outcome))
        # Read back by the labels themselves: a filter that a runtime takes otherwise must not cost a neighbour's life.
        return tuple(
            seen
            for seen in (self._inspect(ids, urgent=False) if ids else ())
            if all(seen.labels.get(name) == value for name, value in labels.items())
        )

    def signal(self, container_id: str, name: str) -> str | None:
        """Send a signal; what the runtime said if it refused, as it does when the container has ended.

        RuntimeUnavailable. What a refusal means is judged by what `inspect` shows next.
        """
        outcome = self._command.call("kill", "--signal", name, container_id, urgent=True)
        if isinstance(outcome, Refused):
            return outcome.text
        _answer(outcome)
        return None

    def remove(self, container_id: str, *, force: bool = False, urgent: bool = False) -> bool:
        """Remove a container and its anonymous volumes; False if the runtime refused. RuntimeUnavailable.

        Without `force` a running one stays. One whose removal has begun counts as removed: it never runs again.
        """
        forced = ("--force",) if force else ()
        outcome = self._command.call("rm", *forced, "--volumes", container_id, urgent=urgent)
        if isinstance(outcome, Refused):
            return _is_gone(outcome) or _ON_ITS_WAY in outcome.text
        _answer(outcome)
        return True

    def log_end(self, container_id: str, lines: int, kept: int) -> str:
        """The end of a container's output; RuntimeUnavailable."""
        outcome = self._command.call("logs", "--tail", str(lines), container_id, merged=True, kept=kept)
        return _answer(outcome)

    def _inspect(self, references: tuple[str, ...], *, urgent: bool) -> tuple[Seen, ...]:
        outcome = self._command.call("container", "inspect", *references, urgent=urgent)
        if isinstance(outcome, Refused) and _is_gone(outcome):
            return parse_inspect(outcome.output) if outcome.output.strip() else ()  # the others are shown all the same
        return parse_inspect(_answer(outcome))


def _is_gone(refused: Refused) -> bool:
    return any(sign in refused.text.lower() for sign in _GONE_SIGNS)


def _answer(outcome: Done | Refused | Unresponsive | DaemonDown | ProgramMissing) -> str:
    match outcome:
        case Done(output):
            return output
        case Refused(code, text, _):
            raise RuntimeUnavailable(f"the runtime refused with code {code}: {text}")
        case Unresponsive() | DaemonDown() | ProgramMissing():
            raise RuntimeUnavailable(describe_trouble(outcome))
