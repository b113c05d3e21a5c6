"""Is a webhook's configuration refused where it cannot be meant, or where it would give secrets away?"""

import pytest

from turnkeel_adapters.channels.settings import WebhookSettings, is_loopback
from turnkeel_adapters.channels.webhook_wire import retry_after_ms

NOW = 1_789_997_600_000
URL = "https://hooks.example/in/s3cretpath"


def _settings(**more):
    return WebhookSettings(**{"kind": "webhook", "url": URL, **more})


GOOD = [
    ("https", {}),
    ("http to this machine by name", {"url": "http://localhost:80/x"}),
    ("http to this machine", {"url": "http://127.4.5.6/x"}),
    ("http to this machine by IPv6", {"url": "http://[::1]:9/x"}),
    ("http to another one, if meant", {"url": "http://10.0.0.1/x", "allow_http": True}),
    ("a query", {"url": "https://h.example?a=b"}),
    ("a question to the same place", {"ask_url": "https://hooks.example:443/sent?key={key}"}),
    ("a token file", {"token_file": "/run/secrets/ops"}),
    ("a variable", {"token_env": "OPS_TOKEN"}),
]


@pytest.mark.parametrize("given", [c[1] for c in GOOD], ids=[c[0] for c in GOOD])
def test_what_can_be_meant_is_taken(given):
    assert _settings(**given).url == given.get("url", URL)


BAD = [
    ("no URL", {"url": ""}, "'url' must be a URL"),
    ("a path", {"url": "/hook"}, "must begin with https:// or http://"),
    ("a file", {"url": "file:///etc/passwd"}, "must begin with https:// or http://"),
    ("no host", {"url": "https:///x"}, "must name a host"),
    ("a host that is none", {"url": "https://-/x"}, "must name a host"),
    ("a host with an empty label", {"url": "https://a..b/x"}, "must name a host"),
    ("a port that is none", {"url": "https://h:99999/"}, "a port from 1 to 65535"),
    ("port zero", {"url": "https://h:0/"}, "must name a host"),
    ("an open bracket", {"url": "https://[::1/"}, "must be a URL with a host"),
    ("a blank", {"url": "https://h/a b"}, "printable ASCII"),
    ("a line end", {"url": "https://h/a\r\nX: y"}, "printable ASCII"),
    ("letters beyond ASCII", {"url": "https://größer.example/"}, "printable ASCII"),
    ("a password", {"url": "https://me:s3cret@h.example/"}, "no user and no password"),
    ("a fragment", {"url": "https://h.example/#s3cret"}, "no part behind #"),
    ("http to another machine", {"url": "http://h.example/"}, "set allow_http = true"),
    ("http to what only begins like this one", {"url": "http://127.0.0.1.evil.example/"}, "set allow_http = true"),
    ("two tokens", {"token_file": "/a", "token_env": "A"}, "token_file and token_env are both given"),
    ("the token itself for a variable", {"token_env": "s3cret-token"}, "'token_env' must be the name of a variable"),
    ("the token itself for a file", {"token_file": "s3cret-token"}, "'token_file' must be a path that begins with /"),
    ("a question without a key", {"ask_url": "https://hooks.example/x"}, "has no {key}"),
    ("a question elsewhere, with the token", {"ask_url": "https://evil.example/{key}"}, "scheme, host and port of url"),
    ("a question in the clear", {"ask_url": "http://hooks.example/{key}"}, "scheme, host and port of url"),
    ("a question at another port", {"ask_url": "https://hooks.example:444/{key}"}, "scheme, host and port of url"),
    ("a key in the place of the host", {"ask_url": "https://{key}/"}, "scheme, host and port of url"),
    ("no time at all", {"timeout_ms": 0}, "'timeout_ms' must be >= 100"),
    ("a limit nothing fits", {"text_limit": 15}, "'text_limit' must be >= 16"),
    ("an unknown unit", {"text_unit": "words"}, "'text_unit' must be in"),
    ("another kind", {"kind": "slack"}, "'kind' must be in"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "told"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_what_cannot_be_meant_is_named_and_no_secret_repeated(given, told):
    with pytest.raises(ValueError) as caught:
        _settings(**given)
    assert told in str(caught.value.args[0])
    assert "s3cret" not in str(caught.value.args[0])


LOOPBACK = [
    ("127.0.0.1", True), ("127.255.0.9", True), ("::1", True), ("localhost", True), ("LOCALHOST", True),
    ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.example", False), ("", False),
]  # fmt: skip


@pytest.mark.parametrize(("host", "loopback"), LOOPBACK)
def test_which_hosts_are_this_machine_alone(host, loopback):
    assert is_loopback(host) is loopback


WAITS = [
    ("seconds", "120", 120_000),
    ("none", "0", 0),
    ("blanks around", " 7 ", 7_000),
    ("more than a day is a day", "999999999", 86_400_000),
    ("a date", "Mon, 21 Sep 2026 13:33:30 GMT", 10_000),
    ("a date with a zone", "Mon, 21 Sep 2026 15:33:30 +0200", 10_000),
    ("a date without a zone", "Mon, 21 Sep 2026 13:33:30 -0000", 10_000),
    ("a date that is over", "Mon, 21 Sep 2020 13:33:30 GMT", 0),
    ("a date far away is a day", "Mon, 21 Sep 2099 13:33:30 GMT", 86_400_000),
    ("no header", None, None),
    ("words", "soon", None),
    ("nothing", "", None),
    ("a negative number", "-5", None),
    ("a decimal number", "1.5", None),
    ("endless digits", "9" * 5_000, None),
    ("a date that is none", "Mon, 99 Sep 2026 13:33:30 GMT", None),
]


@pytest.mark.parametrize(("header", "wait_ms"), [c[1:] for c in WAITS], ids=[c[0] for c in WAITS])
def test_how_long_a_server_asks_to_wait(header, wait_ms):
    assert retry_after_ms(header, NOW) == wait_ms
