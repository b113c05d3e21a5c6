"""Which test plays which scenario, and does README.md say so? Read from the source: nothing is run for it."""

import ast
import importlib.util
import re
from pathlib import Path

from attrs import frozen

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = HERE / "README.md"
IDS = re.compile(r"test_((?:[A-Z]{2}_\d\d_)+)(.+)")
LEVELS = {
    "test_decisions.py": "decision",
    "test_whole_host.py": "whole host in virtual time",
    "test_real_processes.py": "real process",
    "test_scheduled_work.py": "the host's scheduler, on its store",
    "test_door.py": "the host's door, on its store",
    "test_kept_out.py": "the host's own parts",
    "test_process_runner.py": "real process",
    "test_agent_resume.py": "real process",
    "test_redaction.py": "real process",
    "test_kills.py": "whole host, real processes, killed",
    "test_resume.py": "whole host, real processes",
    "test_login.py": "whole host, real processes",
    "test_sender.py": "the host's sender in virtual time",
    "test_follow.py": "the host's follower, on its store",
    "test_cli_schedules.py": "command line",
    "test_attachments.py": "real files",
    "test_agent_attachments.py": "real files",
    "test_session_tree.py": "real files",
    "test_ingress.py": "real HTTP",
    "test_mounts_in_containers.py": "real container",
    "test_oci_runtime.py": "runner, scripted runtime",
    "test_containers.py": "real container",
    "test_host_in_containers.py": "whole host, real containers",
}
HEAD = """# Scenarios from the field

Failures that hosts of this kind had in real life, as tests: false kills (FK), missed hangs (MH), loops of kills and
retries (LO), scheduled work (SC), lost conversations (SE), messages that come again (DD), security (SX), trouble of
runtime and host process (CR). Written by `pytest --write-scenarios` (see conftest.py) from the tests
that passed; a test fails when this page and the tests no longer agree. How often hangs are missed and healthy agents
killed, beside the rule this project started from, is counted by `detection.py` and shown in the project's README.

| id | what happens | level | test |
|---|---|---|---|
"""


def _catalogue():
    spec = importlib.util.spec_from_file_location("scenarios_catalogue", HERE / "catalogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


catalogue = _catalogue()


@frozen(order=True)
class Row:
    """One test of one scenario; `test` is its node id without parameters."""

    id: str
    what: str
    level: str
    test: str


def rows():
    """All there are."""
    found = []
    for file in sorted(HERE.glob("test_*.py")):
        for name in _tests(file):
            if match := IDS.fullmatch(name):
                node = f"{file.relative_to(ROOT)}::{name}"
                ids = match[1].strip("_").replace("_", "-")
                found += [Row(one, _words(match[2]), LEVELS[file.name], node) for one in re.findall(r"[A-Z]+-\d+", ids)]
    for one, nodes in catalogue.ELSEWHERE.items():
        for node in nodes:
            path, name = node.split("::")
            assert name in _tests(ROOT / path), f"{node} is gone"
            found.append(
                Row(one, _words(re.sub(r"^test_(?:[A-Z]{2}_\d\d_)*", "", name)), LEVELS[Path(path).name], node)
            )
    order = list(catalogue.TITLES)
    return sorted(found, key=lambda row: (order.index(row.id), row))


def render(shown):
    """The page with these rows."""
    lines = [f"| {row.id} | {row.what} | {row.level} | {_link(row.test)} |\n" for row in shown]
    missing = [f"| {one} | {catalogue.TITLES[one]} | {why} |\n" for one, why in catalogue.NOT_HERE.items()]
    ids = len({row.id for row in shown})
    tail = f"\n{ids} scenarios, {len({row.test for row in shown})} tests. Not here:\n\n| id | what happens | why |\n|---|---|---|\n"
    return HEAD + "".join(lines) + tail + "".join(missing)


class Writer:
    """A pytest plugin: rewrites the page at the end of a run.

    What did not run this time stays as it was: it is listed if it passed when the page was written last. What failed
    is not listed, and the page then differs from the tests that there are.
    """

    def __init__(self):
        self._passed, self._failed = set(), set()

    def pytest_runtest_logreport(self, report):
        """Note how each test ended."""
        node = report.nodeid.split("[")[0]
        if report.failed:
            self._failed.add(node)
        elif report.when == "call" and report.passed:
            self._passed.add(node)

    def pytest_terminal_summary(self, terminalreporter):
        """Write, or say why not."""
        before = PAGE.read_text("utf-8") if PAGE.exists() else ""
        passed = self._passed - self._failed
        shown = [
            row for row in rows() if row.test in passed or (row.test not in self._failed and _link(row.test) in before)
        ]
        PAGE.write_text(render(shown), "utf-8")
        left = sorted({row.test for row in rows()} - {row.test for row in shown})
        terminalreporter.write_line(f"{PAGE} written; not seen to pass: {', '.join(left) or 'none'}")


def _tests(file):
    return [node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]


def _words(name):
    return name.replace("_", " ")


def _link(node):
    path, name = node.split("::")
    return f"[`{Path(path).name}`](../{Path(path).relative_to('tests')})`::{name}`"
