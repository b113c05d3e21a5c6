"""Is a configuration read as it was meant, and is everything wrong with it named at once?"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve, fields, has

from turnkeel.cli.assemble_schedules import firing_of
from turnkeel.cli.launch import wrapper
from turnkeel_adapters.channels.settings import WebhookSettings
from turnkeel_adapters.config import (
    AgentConfig,
    BadZone,
    ConfigFault,
    ContainerConfig,
    HostConfig,
    IngressConfig,
    explain_config,
    load_config,
    load_zone,
    resolve_zone,
)
from turnkeel_adapters.config.ingress import listen_address
from turnkeel_adapters.runners.environment import DEFAULT_ALLOW
from turnkeel_adapters.runners.oci import ContainerSettings, RuntimeLimits
from turnkeel_adapters.secrets import SecretKeeper, known_secrets
from turnkeel_adapters.state.store import HostState
from turnkeel_core import ResumePolicy, RetryPolicy, SchedulePolicy, SettlePolicy, StuckPolicy

SUMMER = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "turnkeel.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def _problems(path):
    with pytest.raises(ConfigFault) as caught:
        load_config(path)
    assert caught.value.path == path and str(path) in str(caught.value)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return list(caught.value.problems)


def test_without_a_file_all_defaults_hold():
    config = load_config(None)
    assert config == HostConfig()
    assert config.retry == RetryPolicy()
    assert config.agent.argv is None


def test_an_empty_file_means_the_same_as_none(written):
    assert load_config(written("")) == HostConfig()


def test_every_table_reaches_its_policy(written):
    config = load_config(
        written(
            'timezone = "Europe/Berlin"\n[stuck]\nceiling_ms = 1\nrun_limit_ms = 2\n[retry]\nmax_tries = 3\n'
            "[spawn]\nbase_ms = 4\n[start]\nmax_running = 6\n[suspend]\njump_ms = 7\n[host]\nlog_keep = 8\n"
        )
    )
    assert (config.timezone, config.stuck.ceiling_ms, config.stuck.run_limit_ms) == ("Europe/Berlin", 1, 2)
    assert (config.retry.max_tries, config.spawn.base_ms, config.start.max_running) == (3, 4, 6)
    assert (config.suspend.jump_ms, config.host.log_keep) == (7, 8)
    assert (config.sweep.stuck, config.sweep.retry, config.sweep.spawn) == (config.stuck, config.retry, config.spawn)


def test_the_table_of_schedules_reaches_the_scheduler(written, tmp_path):
    config = load_config(written("[schedule]\nlook_ms = 5_000\ngrace_max_ms = 0\ncatch_up_limit = 7\n"))
    assert config.schedule == SchedulePolicy(look_ms=5_000, grace_max_ms=0, catch_up_limit=7)
    with HostState(tmp_path) as state:
        assert firing_of(state, tmp_path, config, SecretKeeper()).policy == config.schedule


def test_the_provider_of_an_agent_is_named_to_its_wrapper(written):
    agent = load_config(written('[agent]\ncommand = "my-agent {resume}"\nprovider = "Codex"\n')).agent
    assert wrapper("python", agent)[-2:] == ("--provider", "Codex")
    assert "--provider" not in wrapper("python", AgentConfig())


TIMEOUT_TOOLS = [
    ("the host trusts every tool", "", None),
    ("and still does if another limit is set", "[stuck]\nceiling_ms = 1", None),
    ("a star means every tool", '[stuck]\ntimeout_tools = ["*"]', None),
    ("named tools alone", '[stuck]\ntimeout_tools = ["Bash", "ffmpeg"]', ("Bash", "ffmpeg")),
    ("no tool at all", "[stuck]\ntimeout_tools = []", ()),
]


@pytest.mark.parametrize(("text", "tools"), [c[1:] for c in TIMEOUT_TOOLS], ids=[c[0] for c in TIMEOUT_TOOLS])
def test_whose_timeouts_are_trusted(written, text, tools):
    assert load_config(written(text)).stuck.timeout_tools == tools
    assert StuckPolicy().timeout_tools == ("Bash",)


def test_an_agent_command_is_split_as_a_shell_would_split_it(written):
    agent = load_config(written("[agent]\ncommand = \"claude -p 'two words'\"")).agent
    assert agent.argv == ("claude", "-p", "two words")


def test_an_agent_as_a_list_keeps_its_words(written):
    text = '[agent]\nargv = ["my agent", "$HOME"]\nspeaks_contract = true\nallow_empty = true\ntimeout_s = 9\n'
    agent = load_config(written(text + "output_limit_bytes = 10")).agent
    assert agent.argv == ("my agent", "$HOME")
    assert (agent.speaks_contract, agent.allow_empty, agent.timeout_s, agent.output_limit_bytes) == (True, True, 9, 10)


def test_resume_patterns_of_a_file_are_added_to_the_usual_ones(written):
    usual = ResumePolicy()
    resume = load_config(written('[resume]\nsession_patterns = ["^no such chat", "no conversation found"]\n')).resume
    assert resume.session_patterns == (*usual.session_patterns, "^no such chat")
    assert resume.anchor_patterns == usual.anchor_patterns


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('session_patterns = ["no such chat", "("]', "session_patterns: '(' is no regular expression"),
        ('anchor_patterns = ["(a+)+b"]', "anchor_patterns: '(a+)+b' repeats a group"),
        ('session_patterns = ["timed out|gone"]', "session_patterns: 'timed out|gone' is too wide"),
        ("error_chars = 100000", "error_chars"),
    ],
)
def test_a_resume_pattern_that_cannot_be_used_is_named(written, line, problem):
    with pytest.raises(ConfigFault) as refused:
        load_config(written(f"[resume]\n{line}\n"))
    [said] = refused.value.problems
    assert said.startswith("resume") and problem in said


def test_names_to_pass_on_are_added_to_the_harmless_ones(written):
    agent = load_config(written('[agent]\npass_environment = ["API_KEY", "PATH", "AWS_*"]')).agent
    assert agent.pass_environment == (*DEFAULT_ALLOW, "API_KEY", "AWS_*")


def test_the_environment_is_a_table_of_texts(written):
    agent = load_config(written('[agent.environment]\nB = "2"\nA = "1"')).agent
    assert agent.environment == (("B", "2"), ("A", "1"))


CONTAINER = """
[runtime]
call_ms = 5

[container]
image = "agents/coder@sha256:00"
command = "agent --say 'two words'"
network = "models"
pass_environment = ["API_KEY"]
memory = "512m"
model = "model.test:443"

[container.add_host]
"model.test" = "10.0.0.1"

[container.environment]
COLOUR = "b1ue"

[container.secret_files]
key = "/etc/agents/key"

[container.groups.team]
command = ["agent", "--other"]
network = "none"

[container.groups.team.environment]
SIZE = "1arge"
"""


def test_a_container_table_puts_agents_into_containers(written):
    config = load_config(written(CONTAINER))
    general = ContainerSettings(
        image="agents/coder@sha256:00",
        command=("agent", "--say", "two words"),
        network="models",
        add_host=(("model.test", "10.0.0.1"),),
        environment=(("COLOUR", "b1ue"),),
        pass_environment=("API_KEY",),
        secret_files=(("key", "/etc/agents/key"),),
        memory="512m",
        model="model.test:443",
    )
    special = evolve(general, command=("agent", "--other"), network="none", environment=(("SIZE", "1arge"),))
    assert config.container == ContainerConfig(settings=general, groups=(("team", special),))
    assert (config.container.of("main"), config.container.of("team")) == (general, special)
    assert config.runtime == RuntimeLimits(call_ms=5)


def test_the_examples_of_the_readme_are_right(written):
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    examples = [part.split("```", 1)[0] for part in text.split("```toml\n")[1:]]
    found = [load_config(written(example)).container for example in examples if "[container]" in example]
    assert [one.settings.image for one in found] == ["agents/plain:1", "agents/coder:1", "agents/coder:1"]
    assert [mount.readonly for mount in found[2].settings.mounts] == [False, True]
    assert (found[1].of("main").network, found[1].of("team").network) == ("models", "none")


def test_without_a_container_table_agents_are_processes(written):
    assert load_config(written("[runtime]\nstart_ms = 5")).container is None


def test_the_explanation_shows_a_container_but_no_value_of_its_environments(written):
    path = written(CONTAINER)
    lines = {line.key: line for line in explain_config(load_config(path), path)}
    shown = {key: line.value for key, line in lines.items() if line.source == "file"}
    assert shown == {
        "runtime.call_ms": "5",
        "container.image": '"agents/coder@sha256:00"',
        "container.command": '["agent", "--say", "two words"]',
        "container.network": '"models"',
        "container.add_host": '{ "model.test" = "10.0.0.1" }',
        "container.environment": "{ COLOUR = … }",
        "container.pass_environment": '["API_KEY"]',
        "container.secret_files": '{ key = "/etc/agents/key" }',
        "container.memory": '"512m"',
        "container.model": '"model.test:443"',
        "container.groups.team.command": '["agent", "--other"]',
        "container.groups.team.network": '"none"',
        "container.groups.team.environment": "{ SIZE = … }",
    }
    assert {f"container.{field.name}" for field in fields(ContainerSettings)} <= lines.keys()
    assert (lines["container.image"].default, lines["container.pids_limit"].value) == ("unset", "512")
    assert lines["container.groups.team.network"].default == '"models"'
    assert all(line.reason for line in lines.values())
    assert "b1ue" not in repr(lines) and "1arge" not in repr(lines)


DELIVERY = """
[turn]
max_attempts = 2
stop_words = ["halt"]
lease = { lease_ms = 7 }

[outbox]
on_unknown = "resend"
backoff_ms = [1, 2]

[delivery]
notify = false

[channels.ops]
kind = "webhook"
url = "https://hooks.example/in/s3cret"
token_file = "/run/secrets/ops"

[channels.lab-2]
kind = "webhook"
url = "http://127.0.0.1:9/"
token_env = "LAB"
text_limit = 4000
text_unit = "utf16"

[ingress]
listen = "[::1]:8791"
token_env = "ING"
"""


def test_the_tables_of_delivery_reach_their_records(written):
    config = load_config(written(DELIVERY))
    assert (config.settle.turn.max_attempts, config.settle.turn.lease.lease_ms) == (2, 7)
    assert config.settle.turn.stop_words == ("halt",)
    assert (config.settle.outbox.on_unknown, config.settle.outbox.backoff_ms) == ("resend", (1, 2))
    assert config.delivery.notify is False
    assert config.channels == (
        ("ops", WebhookSettings(kind="webhook", url="https://hooks.example/in/s3cret", token_file="/run/secrets/ops")),
        ("lab-2", WebhookSettings(
            kind="webhook", url="http://127.0.0.1:9/", token_env="LAB", text_limit=4000, text_unit="utf16"
        )),
    )  # fmt: skip
    assert config.ingress == IngressConfig(listen="[::1]:8791", token_env="ING")


def test_without_their_tables_there_are_no_channels_and_nothing_listens():
    config = load_config(None)
    assert (config.channels, config.ingress, config.delivery.notify) == ((), None, True)
    assert config.settle == SettlePolicy()


def test_the_explanation_shows_channels_and_ingress_with_reasons_but_not_the_path_of_a_url(written):
    path = written(DELIVERY)
    lines = {line.key: line for line in explain_config(load_config(path), path)}
    assert {f"channels.ops.{field.name}" for field in fields(WebhookSettings)} <= lines.keys()
    assert {f"ingress.{field.name}" for field in fields(IngressConfig)} <= lines.keys()
    assert lines["channels.ops.url"].value == '"https://hooks.example/…"'
    assert (lines["channels.lab-2.text_limit"].value, lines["channels.lab-2.text_limit"].default) == ("4000", "unset")
    assert (lines["turn.lease.lease_ms"].value, lines["turn.lease.lease_ms"].source) == ("7", "file")
    assert (lines["outbox.lease.lease_ms"].value, lines["outbox.lease.lease_ms"].source) == ("30000", "default")
    assert (lines["ingress.listen"].source, lines["ingress.allow_remote"].value) == ("file", "false")
    assert all(line.reason for line in lines.values())
    assert "s3cret" not in repr(lines)


def test_the_tokens_of_channels_and_ingress_are_known_as_secrets(written, tmp_path):
    token = tmp_path / "ops.token"
    token.write_text("  the-token-of-ops\n")
    config = load_config(written(DELIVERY.replace("/run/secrets/ops", str(token))))
    known = known_secrets(config, {"LAB": "the-token-of-lab", "ING": "the-token-of-ing", "OTHER": "harmless"})
    assert {"the-token-of-ops", "the-token-of-lab", "the-token-of-ing"} <= set(known.values)
    assert known.unread == () and "harmless" not in known.values
    token.unlink()
    assert known_secrets(config, {}).unread == (f"{token}: No such file or directory",)


HOOK = '[channels.ops]\nkind = "webhook"\nurl = "https://h.example/s3cret"\n'
WRONG_DELIVERY = [
    ("a value for the channels", "channels = 1", ["channels: must be a table, not a whole number"]),
    ("a value for a channel", "[channels]\nops = 1", ["channels.ops: must be a table, not a whole number"]),
    ("nothing about a channel", "[channels.ops]", ["channels.ops.kind: missing", "channels.ops.url: missing"]),
    ("a typing mistake", HOOK + "pase_ms = 1", ["channels.ops.pase_ms: unknown key; did you mean pace_ms?"]),
    ("an unknown kind", HOOK.replace("webhook", "slack"), ["channels.ops.kind: must be one of 'webhook', not 'slack'"]),
    ("a number for a URL", HOOK.replace('"https://h.example/s3cret"', "1"), [
        "channels.ops.url: must be a text, not a whole number"
    ]),
    ("a URL in the clear", HOOK.replace("https", "http"), [
        "channels.ops: url is http to another machine; use https, or set allow_http = true"
    ]),
    ("the token for a variable", HOOK + 'token_env = "s3cret-token"', [
        "channels.ops.token_env: must be the name of a variable"
    ]),
    ("a built-in name", HOOK.replace("ops", "local"), ["channels.local: is built in and has no table"]),
    ("a name in capitals", HOOK.replace("ops", "Ops"), [
        "'channels.Ops': a channel's name is small letters, digits, - and _, up to 64"
    ]),
    ("an ingress without a token", "[ingress]", [
        "ingress: needs token_file or token_env, one of them: without a token nothing listens"
    ]),
    ("an ingress with two", '[ingress]\ntoken_env = "A"\ntoken_file = "/a"', [
        "ingress: needs token_file or token_env, one of them: without a token nothing listens"
    ]),
    ("an ingress open to all", '[ingress]\ntoken_env = "A"\nlisten = "0.0.0.0:80"', [
        "ingress: listen is open to other machines; set allow_remote = true if that is meant"
    ]),
    ("an ingress nowhere", '[ingress]\ntoken_env = "A"\nlisten = "example:80"', [
        "ingress.listen: must be ADDRESS:PORT, as in 127.0.0.1:8790, not 'example:80'"
    ]),
    ("an unknown limit", '[ingress]\ntoken_env = "A"\nmax_body = 1', [
        "ingress.max_body: unknown key; did you mean max_body_bytes?"
    ]),
    ("an unknown answer to an unknown", '[outbox]\non_unknown = "retry"', [
        "outbox.on_unknown: must be one of 'hold', 'resend', not 'retry'"
    ]),
    ("a wait of no time", "[outbox]\nbackoff_ms = [0]", ["outbox.backoff_ms: must be >= 1: 0"]),
    ("a lease of no time", "[turn.lease]\nlease_ms = 0", ["turn.lease.lease_ms: must be >= 1: 0"]),
    ("a typing mistake about turns", "[turn]\nmax_atempts = 1", [
        "turn.max_atempts: unknown key; did you mean max_attempts?"
    ]),
    ("a word for yes", '[delivery]\nnotify = "yes"', ["delivery.notify: must be true or false, not a text"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [c[1:] for c in WRONG_DELIVERY], ids=[c[0] for c in WRONG_DELIVERY])
def test_a_mistake_about_delivery_is_named_by_its_full_key(written, text, wanted):
    problems = _problems(written(text))
    assert "s3cret" not in "".join(problems)
    assert problems == wanted


LISTEN = [
    ("127.0.0.1:8790", ("127.0.0.1", 8790)), ("localhost:1", ("127.0.0.1", 1)), ("[::1]:65535", ("::1", 65535)),
    ("0.0.0.0:0", ("0.0.0.0", 0)), ("127.0.0.1", None), ("127.0.0.1:65536", None), ("::1:80", None), ("1.2.3:80", None),
    ("256.0.0.1:80", None), (":80", None), ("127.0.0.1:080", None), ("127.0.0.1:80 ", None), ("[::g]:80", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place"), LISTEN)
def test_which_texts_are_addresses_to_listen_on(text, place):
    assert listen_address(text) == place


IMAGE = '[container]\nimage = "x"\n'
WRONG_CONTAINER = [
    ("no image", "[container]\n", ["container.image: missing"]),
    ("a text for the table", 'container = "x"', ["container: must be a table, not a text"]),
    ("a typing mistake", IMAGE + 'netwerk = "none"', ["container.netwerk: unknown key; did you mean network?"]),
    ("a typing mistake in a group", IMAGE + '[container.groups.team]\nuzer = "1"', [
        "container.groups.team.uzer: unknown key; did you mean user?"
    ]),
    ("the network of the host", IMAGE + 'network = "host"', [
        "container.network: must not be 'host': write none, bridge or the name of a network"
    ]),
    ("a number for a text", IMAGE + "memory = 512", ["container.memory: must be a text, not a whole number"]),
    ("a secret where a name belongs", IMAGE + 'pass_environment = ["A=s3cret"]', [
        "container.pass_environment: must be names of variables"
    ]),
    ("an unknown runtime", IMAGE + 'runtime = "lxc"', [
        "container.runtime: must be one of 'docker', 'podman', not 'lxc'"
    ]),
    ("a path for a mount", IMAGE + 'mounts = ["/"]', ["container.mounts[0]: must be an object, not a text"]),
    ("a mount of nothing", IMAGE + 'mounts = [{ container = "x" }]', ["container.mounts[0].host: missing"]),
    ("a mount that counts from somewhere", IMAGE + 'mounts = [{ host = "/a" }, { host = "s3cret" }]', [
        "container.mounts[1].host: must be an absolute path, or begin with ~/"
    ]),
    ("a text for a flag of a mount", IMAGE + 'mounts = [{ host = "/a", readonly = "false" }]', [
        "container.mounts[0].readonly: must be true or false, not a text"
    ]),
    ("mounts of a group as a table", IMAGE + '[container.groups.team.mounts]\n"/a" = "/b"', [
        "container.groups.team.mounts: must be a list, not an object"
    ]),
    ("an allow-list that counts from somewhere", IMAGE + 'mount_allowlist = "list.json"', [
        "container.mount_allowlist: must be an absolute path, or begin with ~/"
    ]),
    ("an open quotation", IMAGE + "command = \"a 'b\"", [
        "container.command: cannot be split into words: No closing quotation"
    ]),
    ("a number in a command", IMAGE + "command = [1]", ["container.command[0]: must be a text, not a whole number"]),
    ("a list of variables", IMAGE + 'environment = ["A=1"]', [
        "container.environment: must be a table of texts, not a list"
    ]),
    ("a place without a port", IMAGE + 'model = "model.test"', [
        "container.model: must be HOST:PORT, as in model.example:443, not 'model.test'"
    ]),
    ("a secret with a path for its name", IMAGE + '[container.secret_files]\n"../key" = "/k"', [
        "container.secret_files: has an entry '../key' that is not a file name and a path"
    ]),
    ("a runtime for a group", IMAGE + '[container.groups.team]\nruntime = "podman"', [
        "container.groups.team.runtime: all groups of a host use one; write it in [container]"
    ]),
    ("a group that is none", IMAGE + '[container.groups."../x"]\nuser = "1"', [
        "'container.groups.../x': names no group of sessions"
    ]),
    ("a value for a group", IMAGE + "[container.groups]\nteam = 1", [
        "container.groups.team: must be a table, not a whole number"
    ]),
    ("a value for the groups", IMAGE + "groups = 1", ["container.groups: must be a table, not a whole number"]),
    ("a general mistake is told once", IMAGE + 'pids_limit = 0\n[container.groups.team]\ncpus = "0"', [
        "container.pids_limit: must be >= 1: 0",
        "container.groups.team.cpus: must be a number such as 1.5 above 0, as a text",
    ]),
    ("a process's environment", IMAGE + '[agent]\nenvironment = { A = "1" }\npass_environment = ["B"]', [
        "agent.environment: is for agents that run as processes; write it in [container]",
        "agent.pass_environment: is for agents that run as processes; write it in [container]",
    ]),
    ("no time at all", "[runtime]\ncall_ms = 0", ["runtime.call_ms: must be >= 1: 0"]),
    ("an unknown limit", "[runtime]\ncal_ms = 1", ["runtime.cal_ms: unknown key; did you mean call_ms?"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [c[1:] for c in WRONG_CONTAINER], ids=[c[0] for c in WRONG_CONTAINER])
def test_a_mistake_about_containers_is_named_by_its_full_key(written, text, wanted):
    problems = _problems(written(text))
    assert "s3cret" not in "".join(problems)
    assert problems == wanted


WRONG = [
    ("a typing mistake", "[stuck]\nceilling_ms = 1", ["stuck.ceilling_ms: unknown key; did you mean ceiling_ms?"]),
    ("an unknown table", "[stuk]\nceiling_ms = 1", ["stuk: unknown key; did you mean stuck?"]),
    ("a text for a number", '[retry]\nmax_tries = "5"', ["retry.max_tries: must be a whole number, not a text"]),
    ("a decimal number", "[retry]\nbase_ms = 5.0", ["retry.base_ms: must be a whole number, not a decimal number"]),
    ("true for a number", "[host]\nlog_keep = true", ["host.log_keep: must be a whole number, not a boolean"]),
    ("a negative limit", "[stuck]\nidle_stop_ms = -1", ["stuck.idle_stop_ms: must be >= 0: -1"]),
    ("no container at all", "[start]\nmax_running = 0", ["start.max_running: must be >= 1: 0"]),
    ("a value for a table", "stuck = 7", ["stuck: must be an object, not a whole number"]),
    ("a text for a list", '[stuck]\ntimeout_tools = "Bash"', ["stuck.timeout_tools: must be a list, not a text"]),
    ("a number for the zone", "timezone = 1", ["timezone: must be a text, not a whole number"]),
    ("a zone that is none", 'timezone = "Europe/Berln"', [
        "timezone: 'Europe/Berln' names no time zone; did you mean Europe/Berlin?"
    ]),
    ("a command and a list", '[agent]\ncommand = "a"\nargv = ["a"]', [
        "agent.argv: command is given too; keep one of them"
    ]),
    ("an open quotation", "[agent]\ncommand = \"a 'b\"", [
        "agent.command: cannot be split into words: No closing quotation"
    ]),
    ("an empty command", '[agent]\ncommand = " "', ["agent.command: must name a program, without NUL"]),
    ("an empty list", "[agent]\nargv = []", [
        "agent.argv: the first word must name a program, and no word may hold NUL"
    ]),
    ("a list that begins with nothing", '[agent]\nargv = ["", "a"]', [
        "agent.argv: the first word must name a program, and no word may hold NUL"
    ]),
    ("NUL in a list", '[agent]\nargv = ["a", "b\\u0000"]', [
        "agent.argv: the first word must name a program, and no word may hold NUL"
    ]),
    ("NUL in a command", '[agent]\ncommand = "a b\\u0000"', ["agent.command: must name a program, without NUL"]),
    ("a command that begins with nothing", "[agent]\ncommand = \"'' a\"", [
        "agent.command: must name a program, without NUL"
    ]),
    ("no output at all", "[agent]\noutput_limit_bytes = 0", ["agent.output_limit_bytes: must be >= 1: 0"]),
    ("a number in the environment", "[agent.environment]\nA = 1", [
        "agent.environment: A must be a text, not a whole number"
    ]),
    ("a list as the environment", '[agent]\nenvironment = ["A=1"]', [
        "agent.environment: must be a table of texts, not a list"
    ]),
    ("a provider that is no name", '[agent]\nprovider = "my agent"', [
        "agent.provider: provider 'my agent': write 1 to 64 letters, digits, '.', '_' or '-'"
    ]),
    ("a provider nobody asks for", '[agent]\ncommand = "a"\nspeaks_contract = true\nprovider = "a"', [
        "agent.provider: an agent that speaks the contract keeps its handles itself; leave it out"
    ]),
    ("a schedule that may run late for ever", '[schedule]\ngrace_max_ms = "2h"', [
        "schedule.grace_max_ms: must be a whole number, not a text"
    ]),
    ("a scheduler that never looks", "[schedule]\nlook_ms = 0", ["schedule.look_ms: must be >= 1: 0"]),
    ("no time at all", "[agent]\ntimeout_s = 0", ["agent.timeout_s: must be >= 1: 0"]),
    ("a type key is no key here", '[agent]\ntype = "AgentConfig"', [
        "agent.type: unknown key; known: " + ", ".join(f.name for f in fields(AgentConfig))
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problems"), [c[1:] for c in WRONG], ids=[c[0] for c in WRONG])
def test_a_mistake_is_named_by_its_full_key(written, text, problems):
    assert _problems(written(text)) == problems


REFUSED_NAMES = [
    ("a pattern in the middle", '[agent]\npass_environment = ["A*B"]', "agent.pass_environment: ", "'A*B'"),
    ("a variable that cannot be", '[agent.environment]\n"A=B" = "1"', "agent.environment: ", "'A=B'"),
    ("a value with NUL", '[agent.environment]\nA = "1\\u0000"', "agent.environment: ", "'A'"),
]


@pytest.mark.parametrize(("text", "key", "name"), [c[1:] for c in REFUSED_NAMES], ids=[c[0] for c in REFUSED_NAMES])
def test_what_the_runner_would_refuse_is_refused_here(written, text, key, name):
    (problem,) = _problems(written(text))
    assert problem.startswith(key) and name in problem


def test_all_mistakes_are_named_at_once(written):
    text = 'timezone = "Mars"\ncolour = 1\n[stuck]\nceiling_ms = -1\nidle_stop_ms = "x"\n[agent]\ncommand = ""\n'
    assert sorted(problem.split(":")[0] for problem in _problems(written(text))) == [
        "agent.command",
        "colour",
        "stuck.ceiling_ms",
        "stuck.idle_stop_ms",
        "timezone",
    ]


@pytest.mark.parametrize("text", ["[stuck", "a = 1\na = 2", b"a = '\xff'", "a = " + "[" * 5000])
def test_a_file_that_is_no_toml_is_said_to_be_none(written, text):
    (problem,) = _problems(written(text))
    assert problem.startswith("not TOML: ")


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    assert _problems(tmp_path / "none.toml") == ["there is no such file"]


def test_a_folder_is_no_file(tmp_path):
    assert _problems(tmp_path) == ["cannot be read: Is a directory"]


def _settings(record):
    for field in fields(type(record)):
        value = getattr(record, field.name)
        yield from _settings(value) if has(type(value)) else [field]


def test_every_setting_has_a_reason():
    settings = list(_settings(HostConfig()))
    assert len(settings) > 30
    assert [field.name for field in settings if not field.metadata.get("reason")] == []


def test_the_explanation_has_a_line_for_every_setting():
    lines = explain_config(HostConfig(), None)
    assert len(lines) == len({line.key for line in lines}) == len(list(_settings(HostConfig())))
    assert {line.source for line in lines} == {"default"}
    assert all(line.value == line.default and line.reason for line in lines)
    shown = {line.key: line.value for line in lines}
    assert (shown["stuck.timeout_tools"], shown["stuck.run_limit_ms"], shown["timezone"]) == ('["*"]', "unset", "unset")
    assert shown["stuck.ceiling_ms"] == "1800000"


def test_the_explanation_says_where_a_value_comes_from(written):
    text = 'timezone = "UTC"\n[retry]\nmax_tries = 5\n[agent]\ncommand = "cat"\n[agent.environment]\nKEY = "s3cret"'
    path = written(text)
    config = load_config(path)
    config = evolve(config, start=evolve(config.start, max_running=1))
    lines = {line.key: line for line in explain_config(config, path)}
    files = {"timezone", "retry.max_tries", "agent.command", "agent.argv", "agent.environment"}
    assert {key for key, line in lines.items() if line.source == "file"} == files
    assert {key for key, line in lines.items() if line.source == "caller"} == {"start.max_running"}
    assert (lines["agent.argv"].value, lines["agent.argv"].default) == ('["cat"]', "unset")
    assert lines["agent.environment"].value == "{ KEY = … }"
    assert "s3cret" not in repr(lines)


@pytest.mark.parametrize("name", ["", "Mars", "Europe", "../Berlin", "/etc/passwd", "a\0b", "x" * 5000, "CET-1CEST"])
def test_a_name_that_is_no_zone_is_refused(name):
    with pytest.raises(BadZone, match="names no time zone"):
        load_zone(name)


@pytest.fixture
def etc(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


def test_the_configured_zone_comes_first(etc):
    name, zone = resolve_zone(HostConfig(timezone="Asia/Tokyo"), {"TZ": "Europe/Paris"}, etc)
    assert name == "Asia/Tokyo" and SUMMER.astimezone(zone).hour == 21


ENVIRONMENT = [
    ("a name", "Europe/Paris", "Europe/Paris"),
    ("a name after a colon", ":Europe/Paris", "Europe/Paris"),
    ("a path", "/usr/share/zoneinfo/Europe/Paris", "Europe/Paris"),
    ("a path to the same without leap seconds", "/usr/share/zoneinfo/posix/Europe/Paris", "Europe/Paris"),
    ("nothing", "", "UTC"),
]


@pytest.mark.parametrize(("value", "name"), [c[1:] for c in ENVIRONMENT], ids=[c[0] for c in ENVIRONMENT])
def test_then_comes_the_variable(etc, value, name):
    assert resolve_zone(HostConfig(), {"TZ": value}, etc)[0] == name


@pytest.mark.parametrize("value", ["CET-1CEST,M3.5.0", "Mars", "/etc/hostname"])
def test_a_variable_that_names_no_zone_is_not_passed_over(etc, value):
    with pytest.raises(BadZone, match=r"^TZ: "):
        resolve_zone(HostConfig(), {"TZ": value}, etc)


def test_a_configured_zone_that_is_none_is_not_passed_over(etc):
    with pytest.raises(BadZone, match=r"^timezone: "):
        resolve_zone(HostConfig(timezone="Mars"), {"TZ": "Europe/Paris"}, etc)


def test_then_the_system_by_its_link(etc):
    (etc / "localtime").symlink_to("/usr/share/zoneinfo/America/New_York")
    (etc / "timezone").write_text("Europe/Paris\n")
    name, zone = resolve_zone(HostConfig(), {}, etc)
    assert name == "America/New_York" and SUMMER.astimezone(zone).hour == 8


def test_then_the_system_by_its_name(etc):
    (etc / "timezone").write_text("Europe/Paris\n")
    assert resolve_zone(HostConfig(), {}, etc)[0] == "Europe/Paris"


def test_then_the_system_by_a_copied_file(etc):
    version_1 = b"TZif" + bytes(16) + bytes.fromhex("000000000000000000000000000000000000000100000004")
    (etc / "localtime").write_bytes(version_1 + bytes.fromhex("00000e100000") + b"XYZ\0")
    name, zone = resolve_zone(HostConfig(), {}, etc)
    assert name == "localtime" and SUMMER.astimezone(zone).hour == 13


def test_a_copied_file_that_is_no_zone_is_a_fault(etc):
    (etc / "localtime").write_text("Europe/Paris")
    with pytest.raises(BadZone, match="no time zone file"):
        resolve_zone(HostConfig(), {}, etc)


def test_and_last_utc(etc):
    name, zone = resolve_zone(HostConfig(), {}, etc)
    assert name == "UTC" and SUMMER.astimezone(zone) == SUMMER
