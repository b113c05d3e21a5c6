"""Is a message acknowledged only once it is on the disk, whoever sends it, and however badly?"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from attrs import evolve

from turnkeel.delivery.intake import Intake
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.events import FaultCleared, FaultSeen
from turnkeel.ingress.opening import open_ingress
from turnkeel.ingress.ports import IngressPorts
from turnkeel.ingress.server import IngressServer, IngressUnavailable
from turnkeel_adapters.channels import ExtraMissing
from turnkeel_adapters.channels.secret_file import SecretUnusable
from turnkeel_adapters.config import IngressConfig
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.executor import ThreadExecutor
from turnkeel_adapters.wire import loads

ROOT = Path(__file__).parents[3]
NOW = 1_790_000_000_000
TOKEN = "t0ken-of-the-test-ingress"
CONFIG = IngressConfig(listen="127.0.0.1:0", token_env="ING", max_body_bytes=100_000, read_timeout_ms=20_000)
GOOD = {"Authorization": f"Bearer {TOKEN}"}
HELLO = {"session": "main/ops", "text": "hello"}


class Served:
    """An ingress with a store of its own, in a thread of its own. `accept` can be put in the place of the real one."""

    def __init__(self, data, config=CONFIG, store=None):
        data.mkdir(exist_ok=True)
        self.data = data
        self.state = HostState(data)
        self.store = StateLifecycle(self.state.database)
        self.events = []
        self.executor = ThreadExecutor(8)
        self.intake = Intake(
            store=self.store,
            sessions=FileMailboxes(FileSessions(data)),
            closed=frozenset,
            new_id=lambda prefix: f"{prefix}-{os.urandom(6).hex()}",
            now_ms=lambda: NOW,
            owner="test",
        )
        self.accept = self.intake.accept
        self.now_ms = NOW
        self.server = IngressServer(
            config,
            IngressPorts(
                accept=lambda *args, **more: self.accept(*args, **more),
                store=store or self.store,
                executor=self.executor,
                channels=frozenset({"local", "ops"}),
                now_ms=lambda: self.now_ms,
                report=self.events.append,
            ),
            {"ING": TOKEN},
        )
        self.host, self.port = self.server.bind()
        self.url = f"http://{self.host}:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        self._loop.run_until_complete(self.server.serve(self._stop))

    def stop(self):
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._loop.call_soon_threadsafe(self.stopping.set)
            self._thread.join(timeout=60)
            assert not self._thread.is_alive()
            self._loop.close()

    def close(self):
        self.stop()
        self.executor.close()
        self.state.close()

    def turn(self, turn_id):
        with self.store.transaction() as work:
            return work.tables.turns.get(turn_id), work.tables.turns.payload(turn_id)

    def turns(self):
        with self.store.transaction() as work:
            return work.tables.turns.open()

    def inbox(self, session="main/ops"):
        return FileSessions(self.data).store(session).read(NOW).messages


@pytest.fixture
def serve(tmp_path):
    made = []

    def make(**more):
        made.append(Served(tmp_path / "data", **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def served(serve):
    return serve()


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, headers=GOOD, timeout=60, trust_env=False) as made:
        yield made


def test_an_accepted_message_is_a_turn_and_in_the_inbox(served, client):
    answer = client.post("/v1/messages", json=HELLO)
    assert answer.status_code == 202
    assert answer.json().keys() == {"turn_id", "status"} and answer.json()["status"] == "accepted"
    turn, payload = served.turn(answer.json()["turn_id"])
    assert (turn.session, turn.status) == ("main/ops", "accepted")
    incoming = loads(payload, Incoming)
    assert (json.loads(incoming.message.content), incoming.channel) == ({"text": "hello"}, "local")
    assert [message.message_id for message in served.inbox()] == [turn.turn_id]


def test_all_that_a_message_can_say_reaches_the_turn(served, client):
    body = {
        "session": "ops", "content": {"text": "größer \U0001f600", "n": [1, 2.5, None]}, "channel": "ops", "chat": "c",
        "account": "a", "thread": "t", "message_id": "m-1", "kind": "webhook", "due_at_ms": NOW + 5,
    }  # fmt: skip
    answer = client.post("/v1/messages", json=body)
    assert answer.status_code == 202
    turn, payload = served.turn(answer.json()["turn_id"])
    incoming = loads(payload, Incoming)
    assert (incoming.channel, incoming.account, incoming.chat, incoming.thread) == ("ops", "a", "c", "t")
    message = incoming.message
    assert json.loads(message.content) == body["content"]
    assert (message.kind, message.due_at_ms, message.sent_at_ms) == ("webhook", NOW + 5, NOW)
    assert (message.channel_type, message.platform_id, message.thread_id) == ("ops", "c", "t")


@pytest.mark.parametrize("replay", ["allowed", "notify_only", "never"])
def test_a_message_that_must_not_be_run_twice_says_so(served, client, replay):
    answer = client.post("/v1/messages", json={**HELLO, "replay": replay})
    assert served.turn(answer.json()["turn_id"])[0].replay == replay
    assert client.post("/v1/messages", json={**HELLO, "replay": "sometimes"}).status_code == 400


NAMES = [
    ("the header names it", {}, {"Idempotency-Key": "k-1"}),
    ("the body names it", {"message_id": "k-1"}, {}),
    ("both do, alike", {"message_id": "k-1"}, {"Idempotency-Key": "k-1"}),
]


@pytest.mark.parametrize(("body", "headers"), [c[1:] for c in NAMES], ids=[c[0] for c in NAMES])
def test_the_same_message_again_is_a_duplicate_of_the_same_turn(served, client, body, headers):
    first = client.post("/v1/messages", json={**HELLO, **body}, headers=headers)
    assert first.status_code == 202
    for other in NAMES:
        again = client.post("/v1/messages", json={**HELLO, **other[1]}, headers=other[2])
        assert again.status_code == 200
        assert again.json() == {
            "turn_id": first.json()["turn_id"], "status": "duplicate", "turn_status": "accepted"
        }  # fmt: skip
    assert len(served.turns()) == len(served.inbox()) == 1


DIFFERENT = [
    ("another name", {"message_id": "k-2"}),
    ("another session", {"session": "other"}),
    ("another chat", {"chat": "c"}),
    ("another account", {"account": "a"}),
    ("another thread", {"thread": "t"}),
    ("another channel", {"channel": "ops"}),
]


@pytest.mark.parametrize("body", [c[1] for c in DIFFERENT], ids=[c[0] for c in DIFFERENT])
def test_what_differs_in_its_identity_is_another_message(served, client, body):
    first = {**HELLO, "message_id": "k-1"}
    assert len({client.post("/v1/messages", json=one).json()["turn_id"] for one in (first, {**first, **body})}) == 2


def test_messages_without_a_name_are_all_different(served, client):
    assert len({client.post("/v1/messages", json=HELLO).json()["turn_id"] for _ in range(3)}) == 3


def test_many_at_once_are_each_accepted_once(served):
    def post(number):
        with httpx.Client(base_url=served.url, headers=GOOD, timeout=60, trust_env=False) as client:
            return client.post("/v1/messages", json={**HELLO, "message_id": f"k-{number % 12}"}).json()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(post, range(36)))
    assert sorted(answer["status"] for answer in answers) == ["accepted"] * 12 + ["duplicate"] * 24
    assert {answer["turn_id"] for answer in answers} == {turn.turn_id for turn in served.turns()}
    assert len(served.inbox()) == 12


def _raw(content, kind="application/json", **more):
    return {"content": content, "headers": {"Content-Type": kind, **more}}


TEXT = b'{"session": "ops", "text": "x"'
BAD = [
    ("no JSON", _raw(b"hello"), 400, "not JSON"),
    ("nothing", _raw(b""), 400, "not JSON"),
    ("a list", _raw(b"[]"), 400, "must be an object, not a list"),
    ("no UTF-8", _raw(b'{"session": "\xff"}'), 400, "not UTF-8"),
    ("a nest without end", _raw(b"[" * 90_000), 400, "nested too deeply"),
    ("a key twice", _raw(TEXT + b', "text": "y"}'), 400, "the key 'text' is given twice"),
    ("not a number", _raw(TEXT + b', "due_at_ms": NaN}'), 400, "NaN is no JSON value"),
    ("a number of endless digits", _raw(TEXT + b', "due_at_ms": ' + b"9" * 5_000 + b"}"), 400, "not JSON"),
    ("a typing mistake", {"json": {**HELLO, "sesion": "x"}}, 400, "sesion: unknown key; did you mean session?"),
    ("no session", {"json": {"text": "x"}}, 400, "session: missing"),
    ("a number for a text", {"json": {**HELLO, "text": 5}}, 400, "text: "),
    ("neither text nor content", {"json": {"session": "ops"}}, 400, "text: give either text or content"),
    ("both", {"json": {**HELLO, "content": {}}}, 400, "text: give either text or content"),
    ("content that is no object", {"json": {"session": "ops", "content": "x"}}, 400, "content: must be an object"),
    ("a negative time", {"json": {**HELLO, "due_at_ms": -1}}, 400, "due_at_ms: must be >= 0: -1"),
    ("a task, whose script would be run", {"json": {**HELLO, "kind": "task"}}, 400, "kind: must be one of"),
    ("an unknown channel", {"json": {**HELLO, "channel": "slack"}}, 400,
     "channel: no channel is called 'slack'; known: local, ops"),
    ("two names", {"json": {**HELLO, "message_id": "a"}, "headers": {"Idempotency-Key": "b"}}, 400,
     "message_id: differs from Idempotency-Key"),
    ("a blank name", {"json": HELLO, "headers": {"Idempotency-Key": ""}}, 400, "message_id: is blank"),
    ("a session that is none", {"json": {**HELLO, "session": "../x"}}, 422, "session: "),
    ("due in a year that no file holds", {"json": {**HELLO, "due_at_ms": 253402300800000}}, 422, "outside of the years"),
    ("sent in such a year", {"json": {**HELLO, "sent_at_ms": 10**18}}, 422, "payload: a time of it lies outside"),
    ("half a character", _raw(TEXT[:-1] + b'\\ud800"}'), 422, "payload: it holds half a character"),
    ("a name with a line end", {"json": {**HELLO, "message_id": "a\nb"}}, 422, "identity: message_id holds control"),
    ("an endless name", {"json": {**HELLO, "message_id": "a" * 600}}, 422, "identity: message_id has 600 letters"),
    ("a form", _raw(b"text=x", "application/x-www-form-urlencoded"), 415, "application/json"),
    ("no kind at all", _raw(b"{}", ""), 415, "application/json"),
    ("something compressed", _raw(b"{}", **{"Content-Encoding": "gzip"}), 415, "not compressed"),
    ("10 MB", _raw(b'"' + b"x" * 10_000_000 + b'"'), 413, "the body is over 100000 bytes"),
    ("a byte too many", _raw(b"x" * 100_001), 413, "the body is over 100000 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "told"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_what_is_no_message_is_refused_clearly_and_nothing_is_stored(served, client, request_, status, told):
    answer = client.post("/v1/messages", **request_)
    assert (answer.status_code, told in answer.json()["problem"]) == (status, True), answer.text
    assert served.turns() == ()
    assert served.events == []
    # The connection and the server go on.
    assert client.post("/v1/messages", json=HELLO).status_code == 202


def test_a_body_whose_length_was_not_told_is_counted_as_it_comes(served, client):
    def pieces():
        for _ in range(1_000):
            yield b"x" * 10_000

    kind = {"Content-Type": "application/json"}
    try:
        assert client.post("/v1/messages", content=pieces(), headers=kind).status_code == 413
    except httpx.WriteError:
        pass  # the server may hang up on who does not listen
    assert served.turns() == ()


UNKNOWN = [
    ("no token", {}),
    ("another token", {"Authorization": "Bearer " + TOKEN[:-1] + "x"}),
    ("half of it", {"Authorization": f"Bearer {TOKEN[:10]}"}),
    ("more than it", {"Authorization": f"Bearer {TOKEN}x"}),
    ("another scheme", {"Authorization": f"Basic {TOKEN}"}),
    ("the token alone", {"Authorization": TOKEN}),
    ("letters no token has", {"Authorization": "Bearer größer".encode()}),
]


@pytest.mark.parametrize("headers", [c[1] for c in UNKNOWN], ids=[c[0] for c in UNKNOWN])
def test_who_does_not_know_the_token_is_told_nothing(served, headers):
    with httpx.Client(base_url=served.url, headers=headers, timeout=60, trust_env=False) as stranger:
        for answer in (
            stranger.post("/v1/messages", json=HELLO),
            stranger.post("/v1/messages", content=b"x" * 1_000_000),
            stranger.get("/v1/turns/msg-1"),
        ):
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert TOKEN not in answer.text
    assert served.turns() == ()


ELSEWHERE = [
    ("POST", "/", 404), ("GET", "/v1/messages", 405), ("DELETE", "/v1/turns/x", 405), ("GET", "/v1/turns/", 404),
    ("POST", "/v1/health", 405), ("GET", "/v1/turns/a/b", 404), ("GET", "/docs", 404),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ELSEWHERE)
def test_there_is_nothing_else(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status and answer.json().keys() == {"problem"}


def test_a_turn_can_be_looked_up(served, client):
    turn_id = client.post("/v1/messages", json=HELLO).json()["turn_id"]
    answer = client.get(f"/v1/turns/{turn_id}")
    assert (answer.status_code, answer.json()) == (
        200, {"turn_id": turn_id, "status": "accepted", "reason": None, "error": None}
    )  # fmt: skip
    assert client.get("/v1/turns/msg-none").status_code == 404


def _refuse(*_, **__):
    raise StateFault(Path("/secret/place/turnkeel.db"), "the disk is full")


def test_a_store_that_refuses_is_503_and_told_once_it_works_again(served, client):
    served.accept = _refuse
    answer = client.post("/v1/messages", json={**HELLO, "message_id": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "/secret" not in answer.text
    assert client.post("/v1/messages", json={**HELLO, "message_id": "k"}).status_code == 503
    [event] = served.events
    assert isinstance(event, FaultSeen) and (event.subject, event.kind) == ("ingress", "StateFault")
    assert "the disk is full" in event.detail
    served.accept = served.intake.accept
    assert client.post("/v1/messages", json={**HELLO, "message_id": "k"}).status_code == 202
    assert served.events[1:] == [FaultCleared("", "ingress")]


def test_a_disk_that_is_really_full_is_503_and_takes_the_message_later(served, client):
    with served.state.database.transaction() as connection:
        [[pages]] = connection.execute("PRAGMA page_count").fetchall()
    served.state.database._connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    body = {**HELLO, "text": "x" * 90_000, "message_id": "k"}
    assert client.post("/v1/messages", json=body).status_code == 503
    assert served.turns() == () and isinstance(served.events[0], FaultSeen)
    served.state.database._connection.execute("PRAGMA max_page_count = 100000").fetchall()
    assert client.post("/v1/messages", json=body).status_code == 202
    assert len(served.turns()) == 1


def test_an_error_nobody_thought_of_is_500_and_no_promise(served, client):
    def fail(*_, **__):
        raise RuntimeError("surprise")

    served.accept = fail
    answer = client.post("/v1/messages", json=HELLO)
    assert (answer.status_code, answer.json()) == (500, {"problem": "an error of this host"})
    assert served.events == [FaultSeen("", "ingress", "RuntimeError", "RuntimeError: surprise")]


def test_health_is_ok_as_long_as_the_store_takes_a_write(served):
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as stranger:
        assert stranger.get("/v1/health").json() == {"status": "ok"}
        with served.store.transaction() as work:
            assert work.tables.identities.get("probe:ingress") is None


def test_health_is_not_ok_when_it_does_not_and_a_flood_of_questions_is_one_write(serve):
    class Store:
        asked, well = 0, True

        @contextmanager
        def transaction(self):
            self.asked += 1
            if not self.well:
                _refuse()
            with real.transaction() as work:
                yield work

    store = Store()
    served = serve(store=store)
    real = served.store
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as stranger:
        assert {stranger.get("/v1/health").status_code for _ in range(20)} == {200}
        assert store.asked == 1
        store.well, served.now_ms = False, NOW + 1_000
        answer = stranger.get("/v1/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ok"})
        served.now_ms = NOW - 86_400_000  # a clock that was set back is no reason to believe it for a day
        assert store.asked == 2 and stranger.get("/v1/health").status_code == 503 and store.asked == 3


def _connect(served):
    opened = socket.create_connection((served.host, served.port), timeout=20)
    return opened


def _to_the_end(opened):
    seen = b""
    try:
        while piece := opened.recv(65_536):
            seen += piece
    except ConnectionResetError:
        pass
    return seen


HEAD = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
SLOW = [
    ("who says nothing", b"", b""),
    ("who stops in the head", b"POST /v1/mess", b""),
    ("who never ends the head", HEAD.encode(), b""),
    ("who stops in the body", f"{HEAD}Content-Length: 50\r\n\r\n{{".encode(), b"HTTP/1.1 408"),
    ("who tells a length that is too long", f"{HEAD}Content-Length: 90000\r\n\r\n{{}}".encode(), b"HTTP/1.1 408"),
    ("who stops after an answer", b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\nGET", b"HTTP/1.1 200"),
]


@pytest.mark.parametrize(("said", "answer"), [c[1:] for c in SLOW], ids=[c[0] for c in SLOW])
def test_the_slow_are_hung_up_on(serve, said, answer):
    served = serve(config=evolve(CONFIG, read_timeout_ms=300))
    with _connect(served) as opened:
        opened.sendall(said)
        assert _to_the_end(opened).startswith(answer)
    assert served.turns() == ()


def test_a_head_letter_by_letter_has_one_limit_for_all_of_it(serve):
    served = serve(config=evolve(CONFIG, read_timeout_ms=300))
    with _connect(served) as opened, pytest.raises(OSError):
        for number in range(2_000):
            opened.sendall(b"P" if number == 0 else b"O")
            threading.Event().wait(0.01)
        pytest.fail("it was listened to for twenty seconds")


ROT = [
    ("no HTTP", b"\x16\x03\x01\x02\x00\r\n\r\n"),
    ("two lengths", f"{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}   ".encode()),
    ("a negative length", f"{HEAD}Content-Length: -5\r\n\r\n".encode()),
    ("an endless head", f"{HEAD}Connection: close\r\nX: {'y' * 400_000}\r\n\r\n".encode()),
]


@pytest.mark.parametrize("said", [c[1] for c in ROT], ids=[c[0] for c in ROT])
def test_what_is_no_http_is_400_or_nothing_and_the_server_goes_on(served, client, said, capfd):
    with _connect(served) as opened:
        opened.sendall(said)
        assert _to_the_end(opened)[:12] in (b"HTTP/1.1 400", b"")
    assert client.post("/v1/messages", json=HELLO).status_code == 202
    assert len(served.turns()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_body_longer_than_its_length_is_cut_there(served):
    body = json.dumps({**HELLO, "message_id": "k"}).encode()
    with _connect(served) as opened:
        head = f"{HEAD}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        opened.sendall(head.encode() + body + b'{"session": "evil"}')
        assert _to_the_end(opened).startswith(b"HTTP/1.1 202")
    assert [turn.session for turn in served.turns()] == ["main/ops"]


def test_more_connections_than_are_served_are_told_to_come_again_and_no_more_are_kept(serve, wait_until):
    served = serve(config=evolve(CONFIG, max_connections=3))
    crowd = [_connect(served) for _ in range(3)]
    try:
        with _connect(served) as one_more:
            one_more.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert _to_the_end(one_more).startswith(b"HTTP/1.1 503")
        crowd += [_connect(served) for _ in range(12)]
        wait_until(lambda: sum(map(_hung_up, crowd)) >= 9)
    finally:
        for one in crowd:
            one.close()

    def served_again():
        with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client:
            return client.get("/v1/health").status_code == 200

    wait_until(served_again)


def _hung_up(opened):
    opened.settimeout(0.01)
    try:
        return opened.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_a_request_under_way_is_answered_when_the_host_stops_and_none_after_it(served, client, wait_until):
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args, **more):
        begun.set()
        assert go_on.wait(60)
        return served.intake.accept(*args, **more)

    served.accept = slow
    with ThreadPoolExecutor(2) as pool:
        posting = pool.submit(client.post, "/v1/messages", json=HELLO)
        assert begun.wait(60)
        stopping = pool.submit(served.stop)
        assert served.stopping.wait(60)
        # asyncio forgets a connection that it accepts in the very turn in which its server closes.
        threading.Event().wait(0.1)
        wait_until(lambda: _refused(served))
        go_on.set()
        assert posting.result().status_code == 202
        stopping.result()
    assert len(served.turns()) == 1


def _refused(served):
    try:
        _connect(served).close()
    except ConnectionRefusedError:
        return True
    return False


PORTS = IngressPorts(accept=_refuse, store=None, executor=None, channels=frozenset(), now_ms=int, report=print)


def _server(environ=None, **config):
    """One that nobody talks to."""
    return IngressServer(evolve(CONFIG, **config), PORTS, {"ING": TOKEN} if environ is None else environ)


def test_the_signals_stay_with_the_host():
    async def life():
        heard, stop = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.set)
        before = signal.getsignal(signal.SIGINT)
        server = _server()
        host, port = server.bind()
        serving = asyncio.create_task(server.serve(stop))
        _, writer = await asyncio.open_connection(host, port)
        assert signal.getsignal(signal.SIGINT) is before
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 20)
        assert not serving.done()
        writer.close()
        stop.set()
        await asyncio.wait_for(serving, 20)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    asyncio.run(life())


def test_an_ingress_whose_host_gives_up_gives_the_address_back():
    async def life():
        server = _server()
        host, port = server.bind()
        serving = asyncio.create_task(server.serve(asyncio.Event()))
        reader, writer = await asyncio.open_connection(host, port)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, port)

    asyncio.run(life())


def test_without_a_token_nothing_listens(tmp_path):
    with pytest.raises(SecretUnusable, match="ingress: variable ING: not set"):
        _server(environ={})
    with pytest.raises(SecretUnusable, match="ingress: .*No such file"):
        _server(token_env=None, token_file=str(tmp_path / "none"))


def test_an_address_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(IngressUnavailable, match=f"{listen} cannot be listened on: Address already in use"):
            _server(listen=listen).bind()


def test_an_ingress_is_opened_with_its_address_if_there_is_a_table_for_it(monkeypatch):
    assert open_ingress(None, PORTS, {}) is None
    server = open_ingress(CONFIG, PORTS, {"ING": TOKEN})
    assert server.bind()[1] > 0
    server.close()
    for name in [name for name in sys.modules if name.startswith("turnkeel.ingress.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ExtraMissing, match=r"ingress: needs uvicorn; install turnkeel\[web\]"):
        open_ingress(CONFIG, PORTS, {"ING": TOKEN})


def test_an_answer_is_not_held_back_for_the_next_one(served, client, monkeypatch):
    real, options = socket.socket.setsockopt, []

    def record(self, *args):
        options.append((self.getsockname()[1], *args))
        return real(self, *args)

    monkeypatch.setattr(socket.socket, "setsockopt", record)
    client.get("/v1/health")
    assert (served.port, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options


def test_a_server_that_never_served_gives_its_address_back():
    server = _server()
    _, port = server.bind()
    assert server.bind()[1] == port
    server.close()
    socket.create_server(("127.0.0.1", port)).close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from turnkeel.delivery.intake import Intake
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.ingress.ports import IngressPorts
from turnkeel.ingress.server import IngressServer
from turnkeel_adapters.config import IngressConfig
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.executor import ThreadExecutor

data = Path(sys.argv[1])
state = HostState(data)
store = StateLifecycle(state.database)
intake = Intake(store=store, sessions=FileMailboxes(FileSessions(data)), closed=frozenset,
                new_id=lambda prefix: f"{prefix}-{os.urandom(6).hex()}", now_ms=lambda: 1, owner="x")

def accept(*args, **more):
    intake.accept(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)

ports = IngressPorts(accept=accept, store=store, executor=ThreadExecutor(2), channels=frozenset({"local"}),
                     now_ms=lambda: 1, report=print)
server = IngressServer(IngressConfig(listen="127.0.0.1:0", token_env="ING"), ports, os.environ)
print(server.bind()[1], flush=True)
asyncio.run(server.serve(asyncio.Event()))
"""


def test_a_host_killed_between_commit_and_answer_makes_the_next_try_a_duplicate(tmp_path, serve):
    data = tmp_path / "data"
    data.mkdir()
    paths = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
    env = {**os.environ, "PYTHONPATH": paths, "ING": TOKEN}
    body = {**HELLO, "message_id": "k"}
    with subprocess.Popen([sys.executable, "-c", KILLED, data], env=env, stdout=subprocess.PIPE, text=True) as host:
        url = f"http://127.0.0.1:{int(host.stdout.readline())}/v1/messages"
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(url, json=body, headers=GOOD, timeout=60, trust_env=False)
        assert host.wait(timeout=60) == -signal.SIGKILL
    served = serve()
    answer = httpx.post(f"{served.url}/v1/messages", json=body, headers=GOOD, timeout=60, trust_env=False)
    [turn] = served.turns()
    assert (answer.status_code, answer.json()["status"], answer.json()["turn_id"]) == (200, "duplicate", turn.turn_id)
