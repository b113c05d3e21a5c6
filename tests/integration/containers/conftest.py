"""A Docker daemon of the tests' own, an image made of this interpreter, agents to put into it, hosts that do so."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import apsw
import pytest
from attrs import define, evolve, field

from turnkeel.cli.conversation import turn_id_of
from turnkeel.cli.send import accept
from turnkeel_adapters.runners.oci import ContainerRunner, ContainerSettings, RuntimeLimits
from turnkeel_adapters.runners.records import Handle, SpawnOrder
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.install import install_id

ROOT = Path(__file__).parents[3]
TOOLS, AGENT = "turnkeel-test:tools", "turnkeel-test:agent"
INSTALL = "aaaabbbbccccdddd"
PATIENCE_S = 120
LIMITS = RuntimeLimits(alive_holds_ms=0, backoff_ms=100, backoff_max_ms=500)
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
HOUSES = ("core/turnkeel_core", "adapters/turnkeel_adapters", "shell/turnkeel")
LEFT_OUT = {"test", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "turtledemo", "__pycache__"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: needs a Docker daemon, which the tests start themselves")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.05)


@define
class Runtime:
    """A container runtime whose files all lie in `home`, and its client program."""

    program: str
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home)}

    def call(self, *arguments: str) -> str:
        """What the client program prints, on either stream."""
        done = subprocess.run(
            [self.program, *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
            check=False,
        )
        said = done.stdout.decode().strip()
        assert done.returncode == 0, f"{self.program} {arguments}: {said}"
        return said

    def clean(self) -> None:
        """Remove every container; one that is being removed already is waited for."""

        def gone() -> bool:
            ids = self.call("ps", "--all", "--quiet").split()
            argv = [self.program, "rm", "--force", *ids]
            subprocess.run(argv, env=self.environ, capture_output=True, timeout=PATIENCE_S, check=False)
            return not ids

        wait_until(gone, "containers cannot be removed")


@define
class Podman(Runtime):
    """Podman as it runs where little is allowed: runc, plain copies for storage, cgroupfs, low ulimits."""

    @property
    def environ(self) -> dict[str, str]:
        files = {
            "CONTAINERS_CONF": f"{self.home}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.home}/storage.conf",
        }
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), **files}

    def configure(self, init: str) -> None:
        storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{self.home}/graph"\nrunroot = "{self.home}/run"\n'
        (self.home / "storage.conf").write_text(storage)
        (self.home / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\ninit_path = "{init}"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )


@define
class Daemon(Runtime):
    """One dockerd; `docker` is called with its address."""

    process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "DOCKER_HOST": f"unix://{self.home}/d.sock"}

    def start(self) -> None:
        home = self.home
        argv = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
        argv += ["--data-root", f"{home}/data", "--exec-root", f"{home}/exec", "--pidfile", f"{home}/pid"]
        with (home / "log").open("ab") as log:
            self.process = subprocess.Popen([*argv, "-H", f"unix://{home}/d.sock"], stdout=log, stderr=log)
        wait_until(self._answers, f"dockerd does not answer: {(home / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def freeze(self, frozen: bool) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, (self.home / "log").read_text()[-2000:]
        done = subprocess.run(["docker", "version"], env=self.environ, capture_output=True, timeout=10, check=False)
        return done.returncode == 0


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    missing = [name for name in ("docker", "dockerd", "runc", "containerd") if shutil.which(name) is None]
    missing += [] if os.geteuid() == 0 else ["root"]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"no Docker daemon can be started here: {', '.join(missing)} missing")
    assert not missing, f"CI must be able to start a Docker daemon; missing: {missing}"
    daemon = Daemon("docker", tmp_path_factory.mktemp("dockerd"))
    daemon.start()
    try:
        tar = tmp_path_factory.mktemp("image") / "image.tar"
        # The small one for most tests: this storage driver copies the whole image for every container.
        for image, content in ((TOOLS, _tools()), (AGENT, {**_tools(), **_interpreter(), **_packages()})):
            _pack(tar, content)
            daemon.call("import", "--change", "ENV PATH=/py/bin:/bin", str(tar), image)
            tar.unlink()
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.clean()
            daemon.stop()


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    inits = [found for found in map(shutil.which, ("catatonit", "docker-init", "tini")) if found is not None]
    missing = [name for name in ("podman", "conmon", "runc") if shutil.which(name) is None]
    missing += ([] if inits else ["an init program"]) + ([] if os.geteuid() == 0 else ["root"])
    if missing and not os.environ.get("CI"):
        pytest.skip(f"no Podman here: {', '.join(missing)} missing")
    assert not missing, f"CI must be able to run Podman; missing: {missing}"
    podman = Podman("podman", tmp_path_factory.mktemp("podman"))
    podman.configure(inits[0])
    tar = podman.home / "image.tar"
    for image, content in ((TOOLS, _tools()), (AGENT, {**_tools(), **_interpreter(), **_packages()})):
        _pack(tar, content)
        podman.call("import", "--change", "ENV PATH=/py/bin:/bin", str(tar), image)
        tar.unlink()
    yield podman
    podman.clean()
    podman.call("rmi", "--force", TOOLS, AGENT)


def _tools() -> dict[str, str]:
    """Path in the image to path here, of a shell and the programs that the tests' agents use."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "install busybox-static"
    return {"bin/busybox": busybox}


def _interpreter() -> dict[str, str]:
    """This interpreter, its library and what both are linked to."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    content = {"py/bin/python3": os.path.realpath(sys.executable)}
    for entry in stdlib.iterdir():
        if entry.name not in LEFT_OUT and not entry.name.startswith("config-"):
            content[f"py/lib/{stdlib.name}/{entry.name}"] = str(entry)
    return content | {library.lstrip("/"): os.path.realpath(library) for library in _libraries(stdlib)}


def _packages() -> dict[str, str]:
    """The packages of the base install, and the project's own from this checkout."""
    site = f"py/lib/{Path(sysconfig.get_path('stdlib')).name}/site-packages"
    content = {f"{site}/{Path(house).name}": str(ROOT / house) for house in HOUSES}
    for name in ("attr", "attrs", "cattrs", "apsw", "cronsim", "tzdata", "typing_extensions"):
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None, f"{name} is not installed"
        source = Path(spec.origin)
        source = source.parent if source.name.startswith("__init__.") else source
        content[f"{site}/{source.name}"] = str(source)
    return content


def _pack(path: Path, content: dict[str, str]) -> None:
    with tarfile.open(path, "w") as tar:
        # Folders first, by name: those only implied would be closed to everyone without capabilities.
        for folder in sorted({str(parent) for name in content for parent in Path(name).parents} - {"."}):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(made)
        for name, source in content.items():
            tar.add(source, name)
        for name in ("sh", "sleep", "cat", "id", "touch", "grep", "ls"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)


def _libraries(stdlib: Path) -> list[str]:
    """Absolute paths of the shared libraries that the interpreter and its modules ask for, the loader included."""
    apsw = find_spec("apsw")
    assert apsw is not None and apsw.origin is not None
    modules = [*(stdlib / "lib-dynload").glob("*.so"), *Path(apsw.origin).parent.glob("*.so")]
    binaries = [os.path.realpath(sys.executable), *map(str, modules)]
    listed = subprocess.run(["ldd", *binaries], capture_output=True, text=True, timeout=60, check=False).stdout
    words = (line.split() for line in listed.splitlines())
    found = {word for line in words for word in line if word.startswith("/") and not word.endswith(":")}
    return sorted(found)


@define
class Bench:
    """A runner on the runtime, and the orders a host would give."""

    daemon: Runtime
    home: Path
    settings: ContainerSettings
    runner: ContainerRunner
    install_id: str

    def folder(self, session: str) -> Path:
        folder = self.home / "v2-sessions" / session
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def order(self, *argv: str, session: str = "main/s", incarnation: int = 1) -> SpawnOrder:
        return SpawnOrder(
            session=session,
            incarnation=incarnation,
            folder=self.folder(session),
            argv=argv,
            environment={"TURNKEEL_SESSION": session, "TURNKEEL_INCARNATION": str(incarnation)},
            log_path=self.home / "logs" / f"{session}.log",
        )

    def sh(self, script: str, session: str = "main/s", incarnation: int = 1) -> Handle:
        return self.runner.spawn(self.order("sh", "-c", script, session=session, incarnation=incarnation))

    def other(
        self,
        install_id: str | None = None,
        limits: RuntimeLimits = LIMITS,
        environ: Mapping[str, str] | None = None,
        **changes: object,
    ) -> "Bench":
        """Another runner: of another install, or as the next host of this one; with changed settings."""
        settings = evolve(self.settings, **changes)
        install = install_id or self.install_id
        runner = ContainerRunner(
            install_id=install,
            settings=settings,
            now_ms=now_ms,
            limits=limits,
            environ={**self.daemon.environ, **(environ or {})},
        )
        return Bench(self.daemon, self.home, settings, runner, install)

    def state(self, handle: Handle, template: str) -> str:
        return self.daemon.call("inspect", "--format", template, handle.container_id)


@pytest.fixture
def bench(daemon: Daemon, tmp_path: Path) -> Iterator[Bench]:
    yield from _bench(daemon, tmp_path, ContainerSettings(image=TOOLS, memory="256m", pids_limit=64, tmpfs_size="16m"))


@pytest.fixture
def podman_bench(podman: Podman, tmp_path: Path) -> Iterator[Bench]:
    settings = ContainerSettings(image=f"localhost/{TOOLS}", runtime="podman", memory="256m", pids_limit=64)
    yield from _bench(podman, tmp_path, settings)


def _bench(runtime: Runtime, home: Path, settings: ContainerSettings) -> Iterator[Bench]:
    runner = ContainerRunner(
        install_id=INSTALL, settings=settings, now_ms=now_ms, limits=LIMITS, environ=runtime.environ
    )
    yield Bench(runtime, home, settings, runner, INSTALL)
    runtime.clean()


@pytest.fixture
def until() -> Callable[[Callable[[], bool], str], None]:
    """Waits for a condition, and fails when it does not come."""
    return wait_until


# What takes minutes takes a moment; the limits that tests wait for are their own.
QUICK = """
timezone = "UTC"
[retry]
max_tries = 2
base_ms = 1
[spawn]
base_ms = 50
max_delay_ms = 200
[host]
doorbell_poll_ms = 20
running_poll_ms = 100
idle_scan_ms = 300
stop_grace_ms = 1_000
shutdown_grace_ms = 5_000
fault_retry_ms = 200
fault_retry_max_ms = 400
[runtime]
alive_holds_ms = 200
backoff_ms = 100
backoff_max_ms = 300
"""


@define
class Site:
    """`settings` are TOML tables over QUICK, `[container]` among them."""

    home: Path
    environ: dict[str, str]
    call: Callable[..., str]
    settings: str = '[container]\nimage = "turnkeel-test:agent"\nmemory = "256m"\n'
    agent: str = "cat"
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def config(self) -> Path:
        path = self.home / "turnkeel.toml"
        agent = f"[agent]\ncommand = {json.dumps(self.agent)}\n" if self.agent else ""
        path.write_text(QUICK + agent + self.settings)
        return path

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One `turnkeel` command."""
        argv = [sys.executable, "-m", "turnkeel", words[0], "--data", str(self.data), *words[1:]]
        return subprocess.run(
            argv, env=self._environ(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def start(self) -> None:
        argv = [sys.executable, "-m", "turnkeel", "run", "--data", str(self.data), "--config", str(self.config)]
        self.home.mkdir(exist_ok=True)
        begun = len(self.told("HostStarted"))
        with (self.home / "host.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--log-format", "json"],
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(lambda: len(self.told("HostStarted")) > begun, "the host does not start")

    def kill(self) -> None:
        """SIGKILL the host."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """End it as an operator does; 0 is what it must answer."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self.process = None
        assert code == 0, self.log()

    def wait(self, true: Callable[[], bool], what: str) -> None:
        def alive_and_true() -> bool:
            assert self.process is None or self.process.poll() is None, f"the host ended:\n{self.log()}"
            return true()

        try:
            wait_until(alive_and_true, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from error

    def log(self) -> str:
        path = self.home / "host.log"
        return path.read_text("utf-8", "replace")[-6_000:] if path.exists() else ""

    def told(self, event: str) -> list[dict[str, object]]:
        """The host's events of one kind, of all its lives."""
        path = self.home / "host.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [one["what"] for one in events if one["event"] == event]

    def send(self, session: str, text: str) -> str:
        """Store a message as `turnkeel send` does."""
        return turn_id_of(accept(self.data, session, text))

    def folder(self, session: str) -> Path:
        return self.data / "v2-sessions" / session

    def sql(self, session: str, file: str, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Read or change a session file; a journal that the host rolls back at this instant is waited for once."""
        try:
            return self._sql(session, file, sql, *values)
        except apsw.IOError:
            return self._sql(session, file, sql, *values)

    def _sql(self, session: str, file: str, sql: str, *values: object) -> list[tuple[object, ...]]:
        db = apsw.Connection(str(self.folder(session) / file))
        try:
            db.set_busy_timeout(5_000)
            return list(db.execute(sql, values).fetchall())  # type: ignore[arg-type]  # any SQLite value
        finally:
            db.close()

    def fate(self, session: str, key: str) -> tuple[object, object, int]:
        """(status, tries, replies) of one message."""
        [(status, tries)] = self.sql(session, "inbound.db", "SELECT status, tries FROM messages_in WHERE id = ?", key)
        [(replies,)] = self.sql(session, "outbound.db", "SELECT count(*) FROM messages_out WHERE in_reply_to = ?", key)
        assert isinstance(replies, int)
        return status, tries, replies

    def claimed(self, session: str) -> bool:
        found = self.sql(session, "outbound.db", "SELECT 1 FROM processing_ack WHERE status = 'processing'")
        return bool(found)

    def answered(self, session: str, key: str) -> bool:
        return self.fate(session, key)[0] == "completed"

    def dead(self, session: str, key: str) -> int:
        with HostState(self.data, read_only=True) as state:
            return len(state.dead.of_message(session, key))

    def containers(self, *more: str) -> list[str]:
        """Ids of this install's containers, running or not."""
        mine = f"label=turnkeel.install={install_id(self.data)}"
        return self.call("ps", "--all", "--quiet", "--no-trunc", "--filter", mine, *more).split()

    def status(self) -> dict[str, object]:
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def _environ(self) -> dict[str, str]:
        return {**self.environ, "PYTHONPATH": PATHS}


@pytest.fixture
def make_site(daemon: Daemon, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites; whatever of them still runs in the end is ended."""
    made: list[Site] = []

    def make(name: str = "one", **changes: object) -> Site:
        site = evolve(Site(home=tmp_path / name, environ=daemon.environ, call=daemon.call), **changes)
        site.home.mkdir()
        made.append(site)
        return site

    yield make
    for site in made:
        if site.process is not None:
            site.kill()
    if daemon.process is None:
        daemon.start()
    daemon.clean()


@pytest.fixture
def podman_site(podman: Podman, tmp_path: Path) -> Iterator[Site]:
    settings = f'[container]\nruntime = "podman"\nimage = "localhost/{AGENT}"\nmemory = "256m"\n'
    site = Site(home=tmp_path / "one", environ=podman.environ, call=podman.call, settings=settings)
    site.home.mkdir()
    yield site
    if site.process is not None:
        site.kill()
    podman.clean()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()
