"""Does a text become parts that fit, hold everything, and are the same every time?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeel_adapters.channels import Part, TextLimit, each_part, part_key, split_text
from turnkeel_core import LocalFault, NotSent, Permanent, Receipt, Sent, Uncertain

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"

SPLITS = [
    ("no limit", "a\nb" * 900, None, ["a\nb" * 900]),
    ("a text that fits", "x" * 16, TextLimit(size=16), ["x" * 16]),
    ("nothing at all is one part", "", TextLimit(size=16), [""]),
    ("blanks alone are one empty part", " \n" * 40, TextLimit(size=16), [""]),
    ("a line end in the second half is the best place", "aaaaaaaaaa\nbb cc dddddd", TextLimit(size=16),
     ["aaaaaaaaaa", "bb cc dddddd"]),
    ("a line end in the first half is not", "aa\nbbbb cccc dddd eee", TextLimit(size=16),
     ["aa\nbbbb cccc", "dddd eee"]),
    ("the white space may lie just behind the limit", "a" * 16 + " " + "b" * 4, TextLimit(size=16),
     ["a" * 16, "b" * 4]),
    ("a word that fits nowhere is cut", "x" * 40, TextLimit(size=16), ["x" * 16, "x" * 16, "x" * 8]),
    ("utf16 counts two for a smile", "\U0001f600" * 10, TextLimit(size=16, unit="utf16"),
     ["\U0001f600" * 8, "\U0001f600" * 2]),
    ("utf8 counts bytes", "ä" * 10, TextLimit(size=16, unit="utf8"), ["ä" * 8, "ä" * 2]),
    ("a family stays together", "x" * 13 + FAMILY, TextLimit(size=16), ["x" * 13, FAMILY]),
    ("an accent stays with its letter", "x" * 15 + "e\u0301", TextLimit(size=16), ["x" * 15, "e\u0301"]),
    ("a chain of marks is cut in the end", "e" + "\u0301" * 40, TextLimit(size=36),
     ["e" + "\u0301" * 35, "\u0301" * 5]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "limit", "wanted"), [c[1:] for c in SPLITS], ids=[c[0] for c in SPLITS])
def test_where_a_text_is_cut(text, limit, wanted):
    parts = split_text(text, limit)
    assert [part.text for part in parts] == wanted
    assert [(part.index, part.count) for part in parts] == [(i, len(wanted)) for i in range(len(wanted))]


WORDS = st.text(alphabet="ab \n\t\u0301\u200d\U0001f600\U0001f3fb\ufe0fäß\ud800\udc00", max_size=300)
SIZES = {"characters": len, "utf16": lambda text: len(text.encode("utf-16-le", "surrogatepass")) // 2}
SIZES["utf8"] = lambda text: len(text.encode("utf-8", "surrogatepass"))


@given(text=WORDS, size=st.integers(16, 80), unit=st.sampled_from(sorted(SIZES)))
def test_every_part_fits_and_nothing_but_white_space_is_lost(text, size, unit):
    limit = TextLimit(size=size, unit=unit)
    parts = split_text(text, limit)
    assert all(SIZES[unit](part.text) <= size for part in parts)
    assert "".join("".join(part.text.split()) for part in parts) == "".join(text.split())
    assert split_text(text, limit) == parts
    assert all(part.text.strip() for part in parts) or len(parts) == 1


@given(text=st.text(alphabet="\ud83d\ude00x", max_size=120))
def test_the_halves_of_a_character_that_came_apart_stay_together(text):
    for part in split_text(text, TextLimit(size=16))[1:]:
        before = split_text(text, TextLimit(size=16))[part.index - 1].text
        assert not (before[-1] == "\ud83d" and part.text[0] == "\ude00")


def test_a_long_text_is_cut_in_a_time_that_grows_with_its_length():
    text = "word " * 100_000
    assert sum(len(part.text) for part in split_text(text, TextLimit(size=4_096))) > 499_000


def test_a_part_alone_has_the_key_of_its_row_and_others_their_own():
    one, two = split_text("x", None)[0], split_text("x" * 20, TextLimit(size=16))
    assert part_key("row", one) == "row"
    assert len({part_key("row", part) for part in two} | {"row"}) == 3


def _parts(count):
    return [Part(index=i, count=count, text="x") for i in range(count)]


def _receipt(index):
    return Receipt(index, f"m{index}", 1)


ENDS = [
    ("all sent", [None, None, None], 0, Sent((_receipt(0), _receipt(1), _receipt(2))), 3),
    ("from the second on", [None, None, None], 1, Sent((_receipt(1), _receipt(2))), 2),
    ("nothing is left", [None], 1, Sent(()), 0),
    ("a part that nobody knows of ends it, with the receipts so far", [None, Uncertain("?"), None], 0,
     Uncertain("?", (_receipt(0),)), 2),
    ("a refusal of the first", [Permanent("no"), None], 0, Permanent("no"), 1),
    ("a fault here", [None, LocalFault("token")], 0, LocalFault("token", (_receipt(0),)), 2),
    ("an answer to a question", [None, NotSent()], 0, NotSent(receipts=(_receipt(0),)), 2),
]  # fmt: skip


@pytest.mark.parametrize(("ends", "first", "wanted", "calls"), [c[1:] for c in ENDS], ids=[c[0] for c in ENDS])
def test_parts_go_one_after_the_other_until_one_does_not(ends, first, wanted, calls):
    done = []

    def act(part):
        done.append(part.index)
        return ends[part.index] or Sent((_receipt(part.index),))

    assert each_part(_parts(len(ends)), first, act) == wanted
    assert done == list(range(first, first + calls))
