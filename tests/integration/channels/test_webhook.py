"""What does a webhook make of a server that answers, refuses, hangs, drips, and drops what it was given?"""

import base64
import gc
import hashlib
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest
from attrs import evolve

from turnkeel_adapters.channels import Attachment, Capabilities, Dispatch, ExtraMissing, Part, TextLimit, open_channels
from turnkeel_adapters.channels.settings import WebhookSettings
from turnkeel_adapters.channels.webhook import WebhookChannel
from turnkeel_core import LocalFault, NotSent, Permanent, RateLimited, Receipt, Sent, Transient, Uncertain

ROOT = Path(__file__).parents[3]
NOW = 1_790_000_000_000
SOON = 700  # ms: long enough for an answer that comes, short enough to wait for one that does not
TOKEN = "t0ken-of-the-test-server"
ROW = Dispatch(
    row_id="row-1", chat="c-7", kind="final", account="acme", thread="t-9", turn_id="msg-1", in_reply_to="m-5"
)
PART = Part(index=0, count=1, text="größer \U0001f600 \ud800")


def _settings(peer, **more):
    return WebhookSettings(**{"kind": "webhook", "url": peer.url, "token_env": "OPS", "timeout_ms": 20_000, **more})


@pytest.fixture
def webhook(peer):
    def make(**more):
        return WebhookChannel(_settings(peer, **more), {"OPS": TOKEN}, lambda: NOW)

    return make


def _sent(platform_id=None):
    return Sent((Receipt(0, platform_id, NOW),))


def test_a_part_is_posted_as_documented(peer, webhook):
    peer.behave(peer.answer(200, {"id": "m-100"}))
    assert webhook().deliver(ROW, PART, "6:msg-1:0") == _sent("m-100")
    [request] = peer.requests
    assert request.head == "POST /hook HTTP/1.1"
    assert request.headers["idempotency-key"] == "6:msg-1:0"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.json() == {
        "row_id": "row-1", "turn_id": "msg-1", "kind": "final", "chat": "c-7", "account": "acme", "thread": "t-9",
        "in_reply_to": "m-5", "text": PART.text, "part": 0, "parts": 1, "attachments": [],
    }  # fmt: skip


def test_without_a_token_none_is_sent(peer, webhook):
    assert webhook(token_env=None).deliver(ROW, PART, "k") == _sent()
    assert "authorization" not in peer.requests[0].headers


@pytest.fixture
def attachment(tmp_path):
    content = b"\x00plan\xff" * 1_000
    folder = tmp_path / "outbox" / "out-1"
    folder.mkdir(parents=True)
    (folder / "plan.bin").write_bytes(content)
    return Attachment(name="plan.bin", size=6_000, sha256=hashlib.sha256(content).hexdigest(), folder=folder)


def test_attachments_travel_with_the_first_part_alone(peer, webhook, attachment):
    row = evolve(ROW, attachments=(attachment,))
    for index in range(2):
        webhook().deliver(row, Part(index=index, count=2, text="x"), f"k{index}")
    first, second = (request.json() for request in peer.requests)
    [sent] = first["attachments"]
    assert base64.b64decode(sent.pop("content_base64")) == (attachment.folder / "plan.bin").read_bytes()
    assert sent == {"name": "plan.bin", "size": 6_000, "sha256": attachment.sha256}
    assert second["attachments"] == []


def test_an_attachment_that_was_changed_is_refused_before_anything_is_sent(peer, webhook, attachment):
    (attachment.folder / "plan.bin").write_bytes(b"x" * 6_000)
    outcome = webhook().deliver(evolve(ROW, attachments=(attachment,)), PART, "k")
    assert outcome == Permanent("attachment 'plan.bin': not the file that was recorded")
    assert peer.requests == []


def test_every_try_sends_the_same_bytes_under_the_same_key(peer, webhook, attachment):
    peer.behave(peer.drop, peer.answer(500), peer.hang, peer.answer(200, {"id": "m"}))
    row, channel = evolve(ROW, attachments=(attachment,)), webhook(timeout_ms=SOON)
    outcomes = [channel.deliver(row, PART, "k") for _ in range(4)]
    assert [type(outcome) for outcome in outcomes] == [Uncertain, Uncertain, Uncertain, Sent]
    assert len(peer.requests) == 4 and len(set(map(repr, peer.requests))) == 1


def test_a_server_that_lost_its_answer_shows_the_reply_once(peer, webhook):
    shown = {}

    def take(lose):
        def behave(peer, connection):
            request = peer.requests[-1]
            shown.setdefault(request.headers["idempotency-key"], request.json()["text"])
            (peer.drop if lose else peer.answer(200, {"id": "m-1"}))(peer, connection)

        return behave

    peer.behave(take(lose=True), take(lose=False))
    assert isinstance(webhook().deliver(ROW, PART, "k"), Uncertain)
    assert webhook().deliver(ROW, PART, "k") == _sent("m-1")
    assert shown == {"k": PART.text}


LATER = formatdate(NOW / 1000 + 90, usegmt=True)
STATUSES = [
    ("200 with an id", 200, {"id": "m"}, {}, _sent("m")),
    ("201 with a number for an id", 201, {"id": 17}, {}, _sent("17")),
    ("204", 204, b"", {}, _sent()),
    ("200 without JSON", 200, b"<html>", {}, _sent()),
    ("200 with an id that is none", 200, {"id": ["m"]}, {}, _sent()),
    ("200 with an id that is true", 200, {"id": True}, {}, _sent()),
    ("200 with an id that steers terminals", 200, {"id": "\x1b[2J"}, {}, _sent()),
    ("200 with a list", 200, b"[1]", {}, _sent()),
    ("200 with a deep nest", 200, b"[" * 30_000, {}, _sent()),
    ("409, taken already, with its id", 409, {"state": "sent", "id": "m"}, {}, _sent("m")),
    ("409, taken already, without an id", 409, {"state": "sent"}, {}, Uncertain('HTTP 409: {"state": "sent"}')),
    ("409, still at it", 409, {"state": "busy", "id": "m"}, {}, Uncertain('HTTP 409: {"state": "busy", "id": "m"}')),
    ("429 with seconds", 429, b"slow", {"Retry_After": "7"}, RateLimited("HTTP 429: slow", 7_000)),
    ("429 with a date", 429, b"", {"Retry_After": LATER}, RateLimited("HTTP 429", 90_000)),
    ("429 with nothing", 429, b"", {}, Transient("HTTP 429")),
    ("429 with nonsense", 429, b"", {"Retry_After": "soon"}, Transient("HTTP 429")),
    ("503 with seconds", 503, b"", {"Retry_After": "0"}, RateLimited("HTTP 503", 0)),
    ("503 with nothing", 503, b"", {}, Uncertain("HTTP 503")),
    ("425", 425, b"", {}, Transient("HTTP 425")),
    ("301 to elsewhere", 301, b"", {"Location": "http://127.0.0.1:1/"}, LocalFault("HTTP 301")),
    ("304", 304, b"", {}, LocalFault("HTTP 304")),
    *((str(status), status, b"", {}, LocalFault(f"HTTP {status}")) for status in (401, 403, 407)),
    *((str(status), status, b"", {}, Permanent(f"HTTP {status}")) for status in (400, 404, 405, 410, 413, 422)),
    *((str(status), status, b"", {}, Uncertain(f"HTTP {status}")) for status in (408, 500, 501, 502, 504, 599)),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "outcome"), [(c[1:4], c[4]) for c in STATUSES], ids=[c[0] for c in STATUSES])
def test_what_an_answer_means(peer, webhook, answer, outcome):
    status, body, headers = answer
    peer.behave(peer.answer(status, body, **headers))
    assert webhook().deliver(ROW, PART, "k") == outcome
    assert len(peer.requests) == 1


HEAD = b"HTTP/1.1 200 OK\r\n"
SHORT = HEAD + b"Content-Length: 50\r\n\r\n" + b'{"id": "m'
BROKEN = [
    ("no answer in time", lambda p: p.hang, Uncertain("no answer within 700 ms")),
    ("a reset after the request", lambda p: p.drop, Uncertain),
    ("an end after the request", lambda p: p.finish, Uncertain),
    ("a reset before it was read, or even sent", lambda p: p.deaf(p.drop), (Uncertain, Transient)),
    ("never read at all", lambda p: p.deaf(p.hang), Uncertain),
    ("an answer that is no HTTP", lambda p: p.say(b"220 mail.example ESMTP\r\n\r\n"), Uncertain),
    ("a head that is cut off", lambda p: p.say(HEAD), Uncertain),
    ("a head that never ends", lambda p: p.drip(HEAD, b"X-A: b\r\n"), Uncertain("no answer within 700 ms")),
    ("a head letter by letter", lambda p: p.drip(b"", b"H"), Uncertain("no answer within 700 ms")),
    ("a head without bounds", lambda p: p.say(HEAD + b"X: " + b"y" * 300_000), Uncertain),
    ("a body that is cut off: the status is proof", lambda p: p.say(SHORT), _sent()),
    ("a body that is reset", lambda p: p.say(SHORT, then=p.drop), _sent()),
    ("a body that hangs", lambda p: p.say(SHORT, then=p.hang), _sent()),
    ("a body letter by letter", lambda p: p.drip(HEAD + b"Content-Length: 500\r\n\r\n", b" "), _sent()),
    ("a body without end", lambda p: p.drip(HEAD + b"\r\n", b" " * 4_000), _sent()),
    ("a body over the limit", lambda p: p.answer(200, {"id": "m", "x": "y" * 70_000}), _sent()),
    ("a body that would unfold", lambda p: p.answer(200, b"\x1f\x8b" * 9, Content_Encoding="gzip"), _sent()),
    ("a refusal that hangs is a refusal", lambda p: p.say(b"HTTP/1.1 422 No\r\nContent-Length: 9\r\n\r\n", then=p.hang),
     Permanent("HTTP 422")),
]  # fmt: skip


@pytest.mark.parametrize(("way", "outcome"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_connection_that_breaks_off_proves_nothing_but_what_was_read(peer, webhook, way, outcome):
    peer.behave(way(peer))
    came = webhook(timeout_ms=SOON).deliver(ROW, PART, "k")
    assert isinstance(came, outcome) if isinstance(outcome, type | tuple) else came == outcome


def test_a_large_request_that_is_read_slowly_has_the_same_deadline(peer, webhook):
    def sip(peer, connection):
        while not peer.over.wait(0.02) and connection.recv(1_000):
            pass

    peer.behave(peer.deaf(sip))
    large = evolve(PART, text="x" * 30_000_000)
    assert webhook(timeout_ms=SOON).deliver(ROW, large, "k") == Uncertain("no answer within 700 ms")


def _refused_url():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def test_a_server_that_is_not_there_took_nothing(webhook):
    assert isinstance(webhook(url=_refused_url()).deliver(ROW, PART, "k"), Transient)


def test_a_name_that_is_none_took_nothing(webhook):
    outcome = webhook(url="https://no-such-host.invalid/", timeout_ms=SOON).deliver(ROW, PART, "k")
    assert isinstance(outcome, Transient)


TLS = [
    ("it speaks no TLS", lambda p: p.deaf(p.say(b"HTTP/1.1 400 Bad\r\n\r\n"))),
    ("it hangs in the handshake", lambda p: p.deaf(p.hang)),
    ("it drips in the handshake", lambda p: p.deaf(p.drip(b"\x16\x03\x03\x40\x00", b"\x00"))),
    ("it drops the handshake", lambda p: p.deaf(p.drop)),
]


@pytest.mark.parametrize("way", [c[1] for c in TLS], ids=[c[0] for c in TLS])
def test_where_no_tls_comes_about_nothing_was_sent(peer, webhook, way):
    peer.behave(way(peer))
    outcome = webhook(url=peer.url.replace("http:", "https:"), timeout_ms=SOON).deliver(ROW, PART, "k")
    assert isinstance(outcome, Transient)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_call_that_ran_out_of_time_leaves_no_connection_to_the_garbage_collector(peer, webhook, scheme):
    peer.behave(peer.deaf(peer.hang))
    channel = webhook(url=peer.url.replace("http:", f"{scheme}:"), timeout_ms=100)
    gc.disable()
    try:
        channel.deliver(ROW, PART, "k")
        # One side of the connection is the peer's.
        mine = [fd for fd in os.listdir("/proc/self/fd") if _remote_port(int(fd)) == peer.port]
    finally:
        gc.enable()
    assert mine == []


def _remote_port(fd):
    try:
        with socket.socket(fileno=os.dup(fd)) as seen:
            return seen.getpeername()[1]
    except (OSError, IndexError):
        return None


def test_a_redirect_is_not_followed_and_the_token_stays_here(peer, webhook):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        peer.behave(peer.answer(307, b"", Location=f"http://127.0.0.1:{other.getsockname()[1]}/"))
        assert webhook().deliver(ROW, PART, "k") == LocalFault("HTTP 307")
        with pytest.raises(TimeoutError):
            other.accept()


def test_a_proxy_of_the_environment_sees_nothing(peer, webhook, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, _refused_url())
    assert webhook().deliver(ROW, PART, "k") == _sent()


def test_a_server_that_repeats_the_token_is_not_repeated(peer, webhook):
    body = (" " * 500 + f"bad token\n{TOKEN}\x1b[2J " + "x" * 500).encode()
    peer.behave(peer.answer(422, body), peer.answer(401, body))
    for kind, told in ((Permanent, "HTTP 422: bad token … [2J xx"), (LocalFault, "HTTP 401: bad token … [2J xx")):
        outcome = webhook().deliver(ROW, PART, "k")
        assert isinstance(outcome, kind) and outcome.error.startswith(told)
        assert len(outcome.error) < 250


def test_a_token_that_is_missing_is_a_fault_here_and_mended_without_a_restart(peer, tmp_path):
    path = tmp_path / "token"
    channel = WebhookChannel(_settings(peer, token_env=None, token_file=str(path)), {}, lambda: NOW)
    assert channel.deliver(ROW, PART, "k") == LocalFault(f"{path}: No such file or directory")
    path.write_text(TOKEN)
    path.chmod(0o644)
    assert "others may read" in channel.deliver(ROW, PART, "k").error
    assert peer.requests == []
    path.chmod(0o600)
    assert channel.deliver(ROW, PART, "k") == _sent()
    assert peer.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


KEYS = [("a plain key", "6:msg-1:0", "6:msg-1:0"), ("letters no header holds", "größe", None), ("blanks", "a b", None),
        ("a line end", "a\r\nX-Evil: 1", None), ("half a character", "a\ud800", None), ("too long", "k" * 300, None),
        ("nothing", "", None)]  # fmt: skip


@pytest.mark.parametrize(("key", "wanted"), [c[1:] for c in KEYS], ids=[c[0] for c in KEYS])
def test_a_key_is_sent_as_a_header_can_carry_it(peer, webhook, key, wanted):
    webhook().deliver(ROW, PART, key)
    sent = peer.requests[0].headers["idempotency-key"]
    assert sent == (wanted or f"sha256-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}")
    assert "x-evil" not in peer.requests[0].headers


ANSWERS = [
    ("sent, with its id", lambda p: p.answer(200, {"state": "sent", "id": "m"}), _sent("m")),
    ("sent, without", lambda p: p.answer(200, {"state": "sent"}), _sent()),
    ("not known", lambda p: p.answer(404), NotSent()),
    ("on its way", lambda p: p.answer(200, {"state": "queued"}), Uncertain('HTTP 200: {"state": "queued"}')),
    ("no JSON", lambda p: p.answer(200, b"sent"), Uncertain("HTTP 200: sent")),
    ("a wrong token", lambda p: p.answer(401), LocalFault("HTTP 401")),
    ("a server in trouble", lambda p: p.answer(500), Uncertain("HTTP 500")),
    ("no answer", lambda p: p.hang, Uncertain("no answer within 700 ms")),
    ("a redirect", lambda p: p.answer(302, b"", Location="/"), Uncertain("HTTP 302")),
]


@pytest.mark.parametrize(("way", "outcome"), [c[1:] for c in ANSWERS], ids=[c[0] for c in ANSWERS])
def test_a_server_can_be_asked_what_became_of_a_key(peer, webhook, way, outcome):
    peer.behave(way(peer))
    channel = webhook(ask_url=f"http://127.0.0.1:{peer.port}/sent/{{key}}?v=1", timeout_ms=SOON)
    assert channel.ask(PART, "6:m/1:0?&") == outcome
    [request] = peer.requests
    assert request.head == "GET /sent/6%3Am%2F1%3A0%3F%26?v=1 HTTP/1.1"
    assert (request.headers["authorization"], request.body) == (f"Bearer {TOKEN}", b"")


def test_a_server_that_is_not_there_is_no_proof_that_nothing_was_sent(webhook):
    url = _refused_url()
    assert isinstance(webhook(url=url, ask_url=url + "{key}").ask(PART, "k"), Uncertain)


def test_a_webhook_without_ask_url_cannot_be_asked(peer, webhook):
    assert webhook().ask(PART, "k") == Uncertain("this webhook has no ask_url")
    assert peer.requests == []


def test_a_webhook_can_do_what_it_is_configured_for(webhook, peer):
    assert webhook().capabilities == Capabilities(idempotent=True)
    able = webhook(idempotent=False, ask_url=f"{peer.url}/{{key}}", text_limit=99, text_unit="utf8", pace_ms=5)
    assert able.capabilities == Capabilities(queryable=True, text_limit=TextLimit(size=99, unit="utf8"), pace_ms=5)


def test_many_threads_send_at_once_and_no_connection_stays_open(peer, webhook, wait_until):
    channel = webhook()
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda i: channel.deliver(ROW, PART, f"k{i}"), range(24)))
    assert outcomes == [_sent()] * 24
    assert len({request.headers["idempotency-key"] for request in peer.requests}) == 24
    # The peer's own ends are closed a moment later.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before and threading.active_count() <= threads)


def test_each_table_becomes_a_channel_beside_the_local_one(peer):
    channels = open_channels((("ops", _settings(peer)),), {"OPS": TOKEN}, lambda: NOW)
    assert list(channels) == ["local", "ops"]
    assert channels["ops"].deliver(ROW, PART, "k") == _sent()


def test_a_webhook_without_the_extra_names_the_extra(peer, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("turnkeel_adapters.channels.webhook")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ExtraMissing, match=r"channels\.ops: needs httpx; install turnkeel\[web\]"):
        open_channels((("ops", _settings(peer)),), {}, lambda: NOW)
    assert list(open_channels((), {}, lambda: NOW)) == ["local"]


def test_a_host_without_webhooks_loads_no_http_client():
    code = (
        "import sys, turnkeel_adapters.channels, turnkeel_adapters.config\n"
        "print([name for name in ('httpx', 'ssl', 'starlette', 'uvicorn') if name in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
