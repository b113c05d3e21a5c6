"""Does DEVIATIONS.md say what the vectors say?"""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).with_name("deviations.py")


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("deviations", SCRIPT)
    deviations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(deviations)
    assert deviations.PAGE.read_text(encoding="utf-8") == deviations.page(), f"run: python {SCRIPT.name}"
