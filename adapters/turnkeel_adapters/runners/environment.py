"""Which variables of the host's environment does an agent see?"""

from collections.abc import Mapping

from turnkeel_adapters.runners.errors import EnvironmentRefused

DEFAULT_ALLOW_REASONS: Mapping[str, str] = {
    "PATH": "programs are found",
    "HOME": "tools keep their settings and logins there",
    "USER": "git and ssh ask who works",
    "LOGNAME": "the same, by its POSIX name",
    "SHELL": "agents run commands in the user's shell",
    "LANG": "texts are read as UTF-8",
    "LANGUAGE": "messages come in the user's language",
    "LC_*": "the same, by category",
    "TZ": "the agent means the same day as the host",
    "TMPDIR": "temporary files go where there is room for them",
    "SSL_CERT_FILE": "a site's own certificates are trusted",
    "SSL_CERT_DIR": "the same, as a folder",
}
"""Each name of the default allow-list with its reason. Keys, tokens and proxies (which may hold a password) are not."""

DEFAULT_ALLOW: tuple[str, ...] = tuple(DEFAULT_ALLOW_REASONS)


def compose_environment(source: Mapping[str, str], allow: tuple[str, ...], extra: Mapping[str, str]) -> dict[str, str]:
    """Take the allowed names of `source` (exact names, or `PREFIX_*`), then put `extra` over them.

    EnvironmentRefused names a pattern or a variable that cannot be meant.
    """
    exact = {pattern for pattern in allow if not pattern.endswith("*")}
    prefixes = tuple(pattern[:-1] for pattern in allow if pattern.endswith("*"))
    for pattern in (*exact, *prefixes):
        if not pattern or "*" in pattern or "=" in pattern:
            raise EnvironmentRefused(f"allow-list entry {pattern!r}: write a variable's name, or PREFIX_* for several")
    for name, value in extra.items():
        if not name or "=" in name or "\0" in name + value:
            raise EnvironmentRefused(f"variable {name[:80]!r}: write a name without '=', and no NUL anywhere")
    taken = {name: value for name, value in source.items() if name in exact or name.startswith(prefixes)}
    return {**taken, **extra}
