"""Does an expired login pause its session, tell it once, and cost no message a retry?"""

import json
import sys

from attrs import evolve

from turnkeel.cli.app import run_command_line
from turnkeel.events import Charged, FaultSeen, Woke
from turnkeel_adapters.config.records import AgentConfig

KEY = "sk-ant-api03-" + "A1b2C3d4" * 5
PROGRAM = """
import os, sys
text, login = sys.stdin.read(), os.path.exists(sys.argv[1])
if "sleep" in text or login or "other" in text:
    print("done:", text)
else:
    print(f"API Error: 401 authentication_error: invalid x-api-key {sys.argv[2]}", file=sys.stderr)
    sys.exit(1)
"""


def test_SE_06_an_expired_login_pauses_its_session_tells_it_once_and_burns_no_retry(lab, quick, tmp_path, capsys):
    argv = (sys.executable, "-c", PROGRAM, str(tmp_path / "logged-in"), KEY)
    # One try: a single charge would fail the message.
    config = evolve(quick, agent=AgentConfig(argv=argv), retry=evolve(quick.retry, max_tries=1))
    first, second = lab.send("a", "one", "two")
    seen = {}

    def told(live):
        return [fault for fault in live.of(FaultSeen, "main/a") if fault.subject == "login"]

    async def script(live):
        await live.until(lambda: told(live))
        await live.until(lambda: not lab.sql("a", "SELECT 1 FROM processing_ack", file="outbound.db"))
        [other] = lab.send("b", "other")
        lab.send("a", "three")
        await live.until(lambda: lab.fates("b")[other].answered_once)
        seen["paused"] = lab.fates("a")
        capsys.readouterr()
        assert run_command_line(("status", "--json", "--data", str(lab.data))) == 0
        seen["status"] = capsys.readouterr().out
        (tmp_path / "logged-in").touch()
        assert len(live.of(Woke, "main/a")) == 1, "nothing is started before a person says so"
        assert run_command_line(("resume", "main/a", "--data", str(lab.data))) == 0
        await live.until(lambda: all(fate.answered_once for fate in lab.fates("a").values()))

    live = lab.run(config, script)
    assert not live.of(Charged)
    assert [(fate.status, fate.tries, fate.dead) for fate in seen["paused"].values()] == [("pending", 0, 0)] * 3
    assert all(fate.tries == 0 for fate in lab.fates("a").values()) and {first, second} < lab.fates("a").keys()
    [fault] = told(live)
    assert "its login is refused: " in fault.detail and "turnkeel resume main/a" in fault.detail
    [pause] = json.loads(seen["status"])["pauses"]
    assert pause["session"] == "main/a"
    assert pause["reason"].startswith("its login is refused: API Error: 401 authentication_error")
    assert KEY not in seen["status"] + fault.detail


def test_a_pattern_of_the_configuration_reaches_the_agent_and_a_result_is_no_error(lab, quick):
    program = "import sys; text = sys.stdin.read(); print('authentication_error')\nif 'out' in text: sys.exit('my pass is over')"
    agent = AgentConfig(argv=(sys.executable, "-c", program))
    login = evolve(quick.login, patterns=(*quick.login.patterns, "my pass is over"))
    [told, _] = lab.send("a", "in", "out")

    async def script(live):
        await live.until(lambda: live.of(FaultSeen, "main/a"))

    live = lab.run(evolve(quick, agent=agent, login=login), script)
    assert [fault.subject for fault in live.of(FaultSeen)] == ["login"]
    assert lab.fates("a")[told].answered_once and not live.of(Charged)
