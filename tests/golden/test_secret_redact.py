"""Is every secret hidden that the measured system hides, and those that it misses by mistake?"""

from attrs import evolve

from turnkeel_adapters.secrets import secrets_of_credentials
from turnkeel_core import RedactPolicy, redact, redactions_of, secrets_of_env_file

KIND = "secret_redact"


def known(given):
    """The secrets of the root `.env`, of each group's, and of the credentials file."""
    standard = RedactPolicy()
    policy = evolve(standard, public_names=(*standard.public_names, *given["extra_safe"]))
    files = [given["env"] or "", *given["group_envs"].values()]
    found = [value for text in files for value in secrets_of_env_file(text, policy)]
    return (*found, *secrets_of_credentials(given["credentials"] or ""))


def test_what_is_left_of_the_text(vector):
    given = vector["input"]
    redactions = redactions_of(known(given))
    text = redact(given["text"], redactions)
    assert text == vector["expected"]["text"]
    assert redact(text, redactions) == text
