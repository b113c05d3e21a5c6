"""Where do we differ from the measured systems, and why? `python tests/golden/deviations.py` rewrites DEVIATIONS.md."""

import json
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "DEVIATIONS.md"
HEAD = """# Where we differ, and why

Generated from the vectors in `vectors/` by `python tests/golden/deviations.py`; do not edit by hand.

Each line names vectors whose expected answer follows this project's rules instead of the measured system: because that
system is wrong there (*bug*), or because our promise is another one (*deviation*).
"""


def page():
    """Return the text of DEVIATIONS.md as the vectors have it."""
    sections = [HEAD]
    for kind, reasons in sorted(_by_kind().items()):
        sections += [f"\n## {kind}\n"]
        sections += [f"- *{mark}* {why}\n  {_names(names)}" for (mark, why), names in reasons.items()]
    if len(sections) == 1:
        sections += ["\nNone.\n"]
    return "\n".join(sections).rstrip() + "\n"


def _by_kind():
    by_kind = {}
    for path in sorted((HERE / "vectors").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            vector = json.loads(line)
            mark = "bug" if vector.get("upstream_bug") else "deviation" if vector.get("deviation") else None
            if mark:
                given = vector.get("deviation")
                why = vector.get("why") or (given if isinstance(given, str) else "(no reason given)")
                by_kind.setdefault(vector["kind"], {}).setdefault((mark, why), []).append(vector["name"])
    return by_kind


def _names(names):
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
