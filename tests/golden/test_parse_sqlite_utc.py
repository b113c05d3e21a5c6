"""Does every timestamp name the same instant as in the existing host, in every zone of this machine?"""

import time

import pytest

from turnkeel_adapters.timestamps import parse_sqlite_utc

KIND = "parse_sqlite_utc"


@pytest.fixture
def host_zone(monkeypatch):
    yield lambda zone: (monkeypatch.setenv("TZ", zone), time.tzset())
    monkeypatch.undo()
    time.tzset()


def test_text_names_the_instant(vector, host_zone):
    host_zone(vector["input"]["host_tz"])
    assert parse_sqlite_utc(vector["input"]["text"]) == vector["expected"]
