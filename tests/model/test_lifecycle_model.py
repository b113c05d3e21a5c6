"""Does the design of §6 hold in every state of the model, and does the model see the mistakes it guards against?"""

import importlib.util
from itertools import product
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("lifecycle_model", Path(__file__).with_name("lifecycle_model.py"))
model = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(model)
Rules, TURN_END, ROW_END = model.Rules, model.TURN_END, model.ROW_END

KINDS = [Rules(reply_after_ack=after, keyed=keyed) for after, keyed in product((False, True), (False, True))]
NAMES = [f"{'existing runner' if r.reply_after_ack else 'own kit'}, {'keyed' if r.keyed else 'plain'}" for r in KINDS]


def broken(found):
    """The laws that some reachable world or step breaks, by name."""
    laws = set()
    for world, out in found.items():
        laws |= {law for law, held in _of_world(world, out) if not held}
        for name, after in out:
            laws |= {law for law, held in _of_step(world, name, after) if not held}
    return laws | ({"an accepted message always has a way to its end"} if _stuck(found) else set())


def _of_world(w, out):
    at_rest = not [name for name, _ in out if name[0] != "!"]
    yield "nothing accepted is lost", not at_rest or w.turn in TURN_END
    yield "a reply that was written is decided", not at_rest or not w.reply or w.row in ROW_END
    yield "no second send without unknown", w.sent <= 1 or w.was_unknown
    yield "a channel that cannot tell is called once", w.sent <= 1 or w.row != "none"
    yield "sent means a receipt", w.reason != "sent" or w.row == "delivered"
    yield "a delivered turn has no open row", w.turn != "delivered" or w.late or w.row in ROW_END | {"none"}


def _of_step(w, name, after):
    yield "a terminal turn stays as it is", w.turn not in TURN_END or (after.turn, after.reason) == (w.turn, w.reason)
    yield "a terminal row stays as it is", w.row not in ROW_END or after.row == w.row
    yield "no send starts after an abort", w.turn != "aborted" or after.sent == w.sent
    lost = name == "grace is over" and w.ack == "completed" and not w.container
    yield "a death before the reply is shown as uncertain", not lost or after.uncertain


def _stuck(found):
    """Worlds from which no run of ordinary steps ends the turn."""
    ends = {world for world in found if world.turn in TURN_END or world.turn == "none"}
    grown = True
    while grown:
        more = {w for w, out in found.items() if w not in ends and any(a in ends for n, a in out if n[0] != "!")}
        ends, grown = ends | more, bool(more)
    return found.keys() - ends


@pytest.mark.parametrize("rules", KINDS, ids=NAMES)
def test_the_design_holds_in_every_state(rules):
    found = model.explore(rules)

    assert len(found) > 300
    assert broken(found) == set()
    assert {w.turn for w in found} >= TURN_END and {w.row for w in found} >= ROW_END | {"unknown", "sending"}


@pytest.mark.parametrize("rules", [rules for rules in KINDS if not rules.keyed], ids=["own kit", "existing runner"])
def test_a_plain_channel_that_holds_is_never_called_twice(rules):
    assert max(world.sent for world in model.explore(rules)) == 1


MISTAKES = [
    ("the inbound row is completed before its ack is noted", {"note_first": False}, "nothing accepted is lost"),
    ("a reply to a settled turn is not taken", {"late_replies": False}, "a reply that was written is decided"),
    ("a reply to an aborted turn is taken", {"fence_replies": False}, "no send starts after an abort"),
    ("the call comes before `sending` is stored", {"sending_first": False}, "no second send without unknown"),
]


@pytest.mark.parametrize(("change", "law"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_the_model_sees_the_mistake(change, law):
    rules = Rules(reply_after_ack=True)._replace(**change)

    assert law in broken(model.explore(rules))
