"""What is hidden, what stays legible, and which values count as secrets?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    RedactPolicy,
    is_secret_name,
    parse_env_file,
    redact,
    redactions_of,
    secrets_of_env_file,
    secrets_of_environment,
)

FORMS = redactions_of(())
A = "A1b2C3d4E5"
BLOCK = f"-----BEGIN RSA PRIVATE KEY-----\n{A * 6}\n{A * 6}\nshort==\n-----END RSA PRIVATE KEY-----"

HIDDEN = [
    ("an Anthropic key", f"key sk-ant-api03-{A} ok", "key [REDACTED] ok"),
    ("an OpenAI key", f"sk-proj-{A * 3}", "[REDACTED]"),
    ("a Stripe key", f"sk_live_{A * 2}", "[REDACTED]"),
    ("a GitHub token", f"ghp_{A * 4}.", "[REDACTED]."),
    ("a fine-grained GitHub token", f"github_pat_{A * 3}", "[REDACTED]"),
    ("a GitLab token", f"glpat-{A * 2}", "[REDACTED]"),
    ("an AWS key id", "AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLE", "[REDACTED] and [REDACTED]"),
    ("a Slack token", f"xoxb-{A}-{A}", "[REDACTED]"),
    ("a Google key", f"AIza{A * 4}", "[REDACTED]"),
    ("a Discord token", f"M{A * 2}abc.{A[:6]}.{A * 3}", "[REDACTED]"),
    ("a Telegram token", f"bot 123456789:AA{A * 4}", "bot [REDACTED]"),
    ("a web token", f"eyJ{A}.eyJ{A}.{A}", "[REDACTED]"),
    ("a key block", f"a\n{BLOCK}\nz", "a\n[REDACTED]\nz"),
    ("a key block in JSON", f'{{"k": "{BLOCK}"}}'.replace("\n", "\\n"), '{"k": "[REDACTED]"}'),
    ("a key block cut off", f"-----BEGIN PRIVATE KEY-----\n{A * 6}\n", "[REDACTED]\n"),
    ("a password in a URL", "postgres://me:p@ss@host/db", "postgres://me:[REDACTED]@host/db"),
    ("an authorization header", f"authorization: Basic {A}==", "authorization: Basic [REDACTED]"),
    ("a header as JSON", f'{{"Authorization": "Bearer {A}"}}', '{"Authorization": "Bearer [REDACTED]"}'),
    ("a bearer token alone", f"Bearer {A * 2}", "Bearer [REDACTED]"),
    ("a header of another name", f"X-Api-Key: {A}", "X-Api-Key: [REDACTED]"),
    ("an assignment", f"DB_PASSWORD={A} next", "DB_PASSWORD=[REDACTED] next"),
    ("an assignment with blanks", "TOKEN='a b c d'", "TOKEN='[REDACTED]'"),
    ("a name of the secret class", f"SIGNING_KEY={A}", "SIGNING_KEY=[REDACTED]"),
    ("a query", f"/x?access_token={A}&page=2", "/x?access_token=[REDACTED]&page=2"),
    ("a JSON value with a quote in it", '{"password": "ab\\"cdefg"}', '{"password": "[REDACTED]"}'),
    ("JSON in JSON", '{"line": "{\\"token\\": \\"abcdefgh\\"}"}', '{"line": "{\\"token\\": \\"[REDACTED]\\"}"}'),
    ("a Slack hook", f"https://hooks.slack.com/services/T0/B0/{A * 2}", "https://hooks.slack.com/services/[REDACTED]"),
]


@pytest.mark.parametrize(("text", "left"), [row[1:] for row in HIDDEN], ids=[row[0] for row in HIDDEN])
def test_a_secret_is_known_by_its_form(text, left):
    assert redact(text, FORMS) == left


LEGIBLE = [
    ("an id of a task", "task-1764215483000-abc123 of risk-assessment-for-the-whole-year"),
    ("a word on passwords", "the password is wrong; the token expired"),
    ("a count", "max_tokens=4096 token=None tokens: 12"),
    ("a URL with a port", "http://host:8080/a@b"),
    ("a URL with a user", "ssh://git@host/repo"),
    ("a public key", "-----BEGIN PUBLIC KEY-----"),
    ("a commit", "9fceb02d0ae598e95dc970b74767f19372d61af8"),
    ("a stuck session", "session main/chat: claimed 61.0 s ago (limit 60.0 s)"),
    ("a header's name", "Authorization: is missing"),
]


@pytest.mark.parametrize("text", [row[1] for row in LEGIBLE], ids=[row[0] for row in LEGIBLE])
def test_what_is_no_secret_stays_legible(text):
    assert redact(text, FORMS) == text


KNOWN = [
    ("the longest first", ("abcdefgh", "abcdefghijk"), "abcdefghijk", "[REDACTED]"),
    ("each line of several", ("first-line\r\nsecond-line\n",), "x second-line y", "x [REDACTED] y"),
    ("several lines at once", ("first-line\nshort\nsecond-line",), "first-line\nshort\nsecond-line", "[REDACTED]"),
    ("without the space around it", ("  spaced-out  ",), "<spaced-out>", "<[REDACTED]>"),
    ("within a word", ("secret-1",), "asecret-1b", "a[REDACTED]b"),
    ("in its case only", ("SECRET-1",), "secret-1", "secret-1"),
    ("not if it is short", ("1234567", ""), "1234567", "1234567"),
    ("in another script", ("пароль-ключ",), "x пароль-ключ", "x [REDACTED]"),
    ("the mark as a secret", ("[REDACTED]", "REDACTED"), "[REDACTED] REDACTED", "[REDACTED] [REDACTED]"),
    ("the mark within a secret", ("left-side[REDACTED]right-side",), "left-side", "[REDACTED]"),
    ("not over what was hidden", ("secret-1", "REDACTED]ab"), "secret-1ab", "[REDACTED]ab"),
    ("before the forms", ("sk-ant-abc",), "sk-ant-abcdefgh1234", "[REDACTED]defgh1234"),
]


@pytest.mark.parametrize(("values", "text", "left"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_a_known_value_is_hidden(values, text, left):
    assert redact(text, redactions_of(values)) == left


def test_what_a_name_alone_gives_away_can_be_left_legible():
    replies = redactions_of(("known-value",), RedactPolicy(by_name=False))
    text = f"password=example-one Bearer {A * 2} known-value sk-ant-{A}"
    assert redact(text, replies) == f"password=example-one Bearer {A * 2} [REDACTED] [REDACTED]"


ALIKE = [
    (
        "none is cut short by one within it",
        ("the-secret", "the-secret-of", "the-secret-of-all"),
        "the-secret-of-all!",
        "[REDACTED]!",
    ),
    ("none is cut short by its end", ("the-secret-of-all", "secret-of-all"), "the-secret-of-all", "[REDACTED]"),
    ("none is cut short by its middle", ("the-secret-of-all", "secret-of"), "the-secret-of-all", "[REDACTED]"),
    ("the shorter where the longer is not", ("the-secret", "the-secret-of"), "the-secret-or", "[REDACTED]-or"),
    ("each of many that begin alike", tuple("a" * n for n in range(8, 60)), "b" + "a" * 59 + "b", "b[REDACTED]b"),
    (
        "letters that mean something in a pattern",
        ("a.c|d(e)[f]*", "a.c|d(e)[f]+"),
        "a.c|d(e)[f]+ abc",
        "[REDACTED] abc",
    ),
]


@pytest.mark.parametrize(("values", "text", "left"), [row[1:] for row in ALIKE], ids=[row[0] for row in ALIKE])
def test_values_that_are_alike_do_not_hide_each_other(values, text, left):
    assert redact(text, redactions_of(values)) == left


def test_the_least_length_is_a_policy():
    assert redact("abc", redactions_of(("abc",), RedactPolicy(least_chars=3))) == "[REDACTED]"


def test_the_secrets_are_not_shown_by_what_hides_them():
    assert "secret-1" not in repr(redactions_of(("secret-1",)))


def test_the_longest_value_is_measured_in_bytes():
    assert redactions_of(("пароль-ключ", "secret-1")).longest_bytes == len("пароль-ключ".encode())


NAMES = [
    ("ANTHROPIC_API_KEY", True),
    ("GITHUB_TOKEN", True),
    ("github_token", True),
    ("AWS_SECRET_ACCESS_KEY", True),
    ("PGPASSWORD", True),
    ("DATABASE_DSN", True),
    ("DASHBOARD_SECRET", True),
    ("PATH", False),
    ("PWD", False),
    ("OLDPWD", False),
    ("HOME", False),
    ("MAX_TOKENS", False),
    ("SSH_ASKPASS", False),
    ("KEYBOARD", False),
    ("POSTGRES_PASSWORD_FILE", False),
]


@pytest.mark.parametrize(("name", "secret"), NAMES)
def test_a_name_says_whether_its_value_is_a_secret(name, secret):
    assert is_secret_name(name) is secret
    assert secrets_of_environment({name: "value"}) == (("value",) if secret else ())


def test_a_name_can_be_made_public_but_not_every_name():
    policy = evolve(RedactPolicy(), public_names=("CACHE_KEY", "OPENAI_API_KEY"))
    assert not is_secret_name("CACHE_KEY", policy)
    assert is_secret_name("OPENAI_API_KEY", policy)
    text = "CACHE_KEY=1\nOPENAI_API_KEY=2\nOTHER=3"
    assert secrets_of_env_file(text, policy) == ("2", "3")


ENV_FILES = [
    ("plain", "A=one", [("A", "one")]),
    ("exported", "  export A=one", [("A", "one")]),
    ("a comment line", "# A=one\n#\nB=two", [("B", "two")]),
    ("blanks around the sign", "A = one ", [("A", "one")]),
    ("no value", "A=\nB=two", [("A", ""), ("B", "two")]),
    ("no assignment", "just words\nB=two", [("B", "two")]),
    ("a comment behind a value", "A=one # two", [("A", "one"), ("A", "one # two")]),
    ("a hash within a value", "A=one#two", [("A", "one#two")]),
    ("single quotes", "A='one # two' # three", [("A", "one # two")]),
    ("double quotes", 'A=" one " # two', [("A", " one ")]),
    ("escapes", r'A="one\"\ntwo"', [("A", r"one\"\ntwo"), ("A", 'one"\ntwo')]),
    ("a backslash at the end", 'A="one\\\\"\nB=two', [("A", "one\\\\"), ("A", "one\\"), ("B", "two")]),
    ("several lines", 'A="one\ntwo" \nB=three', [("A", "one\ntwo"), ("B", "three")]),
    ("a quote that does not close", 'A="one\nB=two', [("A", '"one'), ("B", "two")]),
    ("a name twice", "A=one\nA=two", [("A", "one"), ("A", "two")]),
    ("line ends of another system", "A=one\r\nB=two\r\n", [("A", "one"), ("B", "two")]),
]


@pytest.mark.parametrize(("text", "pairs"), [row[1:] for row in ENV_FILES], ids=[row[0] for row in ENV_FILES])
def test_an_env_file_is_read_as_its_tools_read_it(text, pairs):
    assert list(parse_env_file(text)) == pairs
