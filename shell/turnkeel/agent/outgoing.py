"""What of a reply must hold before its row is written?"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from turnkeel_adapters.sessions.container_attachments import OutputRefused, attached, checked_names
from turnkeel_adapters.sessions.container_side import Reply
from turnkeel_core import OutputPolicy, OutputSnapshot, RefuseOutput, decide_output


@contextmanager
def outgoing(
    folder: Path, reply: Reply, paths: Sequence[str | Path], limits: OutputPolicy, now_ms: int
) -> Generator[Reply, None, None]:
    """Hold the reply with its files in the outbox while its row is written; raises OutputRefused, then nothing is left.

    Relative paths count from the working directory.
    """
    answer = decide_output(OutputSnapshot(now_ms=now_ms, text_bytes=len(reply.text.encode(errors="replace"))), limits)
    if isinstance(answer, RefuseOutput):
        raise OutputRefused(answer.reason)
    files = tuple(Path(path) for path in paths)
    names = checked_names(files)
    with attached(folder, reply.reply_id, files, names, limits, now_ms):
        yield evolve(reply, files=names)
