"""Which seq does the host give its next message?"""

from contextlib import closing

import apsw
import pytest

from turnkeel_adapters.sessions.inbound import next_even_seq
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA

KIND = "next_even_seq"


@pytest.fixture
def inbound():
    with closing(apsw.Connection(":memory:")) as db:
        db.execute(INBOUND_SCHEMA).fetchall()
        yield db


def seed(db, seqs):
    rows = [(f"m{index}", seq) for index, seq in enumerate(seqs)]
    sql = "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES (?, ?, 'chat', '', '')"
    db.executemany(sql, rows).fetchall()


def test_next_seq_is_even_and_above_all(vector, inbound):
    seed(inbound, vector["input"]["seqs"])
    assert next_even_seq(inbound) == vector["expected"]


@pytest.mark.parametrize(("seqs", "expected"), [(["text"], 2), (["text", 5], 6), ([2.5, b"x", 4], 6)])
def test_what_is_no_number_is_not_counted(inbound, seqs, expected):
    seed(inbound, seqs)
    assert next_even_seq(inbound) == expected
