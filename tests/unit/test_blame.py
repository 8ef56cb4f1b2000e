"""The rules of blame: what one failure proves, and what several do.

Each rule is needed: the last test edits the module in every place, one at a time, and some rule must fail.
"""

import ast
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from leadhook.domain import blame as ours
from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.results import Usage

DAY_S = 86_400.0
PAID: dict[str, Any] = {"usage": Usage(calls=2, input_tokens=9)}
BILLED: dict[str, Any] = {"usage": Usage(calls=1, unmetered=1)}
TRANSIENT, REFUSED, KEY = FailureClass.TRANSIENT, FailureClass.REFUSED, FailureClass.KEY
RULES: list[Callable[[Any], None]] = []


def rule(check: Callable[[Any], None]) -> Callable[[Any], None]:
    RULES.append(check)
    return check


def decided(
    blame: Any, kind: FailureClass, *, paid_before: int = 0, give_up_s: float = DAY_S, more: Any = None, **evidence: Any
) -> Any:
    failure = Failure(kind, "code", "Reason.", **(more or {}))
    return blame.decide(failure, blame.Evidence(**evidence), paid_before=paid_before, give_up_after_s=give_up_s)


def brief(decision: Any) -> tuple[str, str, bool]:
    return decision.outcome, decision.rule, decision.failing


@rule
def what_is_said_of_the_answer_a_key_or_a_setting_needs_no_evidence(blame: Any) -> None:
    """The model answered this lead, or it is not about the lead at all: not even after two days."""
    for failing_s in (None, 10.0, 2 * DAY_S):
        for answered in (0, 3):
            found = {
                kind: brief(decided(blame, kind, failing_s=failing_s, answered=answered, alone=True))
                for kind in (FailureClass.CONTENT, FailureClass.CONFIGURATION, KEY)
            }
            assert found == {
                FailureClass.CONTENT: ("dead", "answer", False),
                FailureClass.CONFIGURATION: ("returned", "setting", False),
                KEY: ("returned", "key", True),
            }


@rule
def refused_lead_is_dead_once_others_are_answered_while_it_is_refused_three_times(blame: Any) -> None:
    waits, dead = ("returned", "unknown", True), ("dead", "refused", False)
    assert brief(decided(blame, REFUSED, answered=3)) == waits
    assert brief(decided(blame, REFUSED, times=3, answered=3)) == waits
    assert brief(decided(blame, REFUSED, failing_s=60.0, answered=3)) == waits
    assert brief(decided(blame, REFUSED, failing_s=60.0, times=2, answered=3)) == waits
    assert brief(decided(blame, REFUSED, failing_s=60.0, times=3, answered=1)) == dead
    assert brief(decided(blame, REFUSED, failing_s=60.0, times=3, answered=1, passing=True)) == waits
    assert brief(decided(blame, REFUSED, failing_s=DAY_S - 1, times=9, alone=True)) == waits
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, times=3, answered=3)) == waits


@rule
def lead_is_given_up_after_a_day_unless_others_fail_too(blame: Any) -> None:
    waits, dead = ("returned", "unknown", True), ("dead", "given_up", False)
    for kind in (TRANSIENT, REFUSED):
        assert brief(decided(blame, kind, failing_s=9 * DAY_S)) == waits
        assert brief(decided(blame, kind, failing_s=DAY_S, alone=True)) == dead
        assert brief(decided(blame, kind, failing_s=DAY_S - 1, alone=True)) == waits
    assert brief(decided(blame, TRANSIENT, failing_s=DAY_S, answered=1)) == dead
    assert brief(decided(blame, TRANSIENT, alone=True, give_up_s=0.5)) == waits
    assert brief(decided(blame, REFUSED, failing_s=DAY_S, times=3, answered=1, passing=True)) == dead


@rule
def only_what_was_paid_spends_an_attempt(blame: Any) -> None:
    spent, waits = ("retry", "paid", True), ("returned", "unknown", True)
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, more=PAID)) == spent
    assert brief(decided(blame, TRANSIENT, answered=2, more=PAID)) == spent
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, more=BILLED)) == waits
    assert brief(decided(blame, TRANSIENT, answered=2, more=BILLED)) == waits
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, answered=2, more=BILLED)) == spent
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, answered=2, passing=True, more=BILLED)) == waits
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, answered=2)) == waits


@rule
def what_was_paid_again_while_others_were_answered_is_the_leads(blame: Any) -> None:
    dead, spent = ("dead", "paid_enough", False), ("retry", "paid", True)
    for more in (PAID, BILLED):
        assert brief(decided(blame, TRANSIENT, failing_s=60.0, answered=1, paid_before=1, more=more)) == dead
    assert brief(decided(blame, TRANSIENT, answered=1, paid_before=1, more=PAID)) == spent
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, paid_before=1, more=PAID)) == spent
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, answered=1, passing=True, paid_before=1, more=PAID)) == spent
    # Another one that fails alike may be as bad.
    assert brief(decided(blame, TRANSIENT, failing_s=60.0, answered=1, shared=True, paid_before=1, more=PAID)) == dead


def wait(decision: Any) -> tuple[float, float | None]:
    """How long, and from when on an answer to another lead ends it."""
    return decision.delay_s, decision.decide_after_s


@rule
def what_was_paid_once_waits_seconds_or_for_an_answer_to_another_lead(blame: Any) -> None:
    found = decided(blame, TRANSIENT, more=PAID)
    assert found.delay_s == 3_660
    assert 1.9 <= found.decide_after_s <= 2
    assert wait(decided(blame, TRANSIENT, more=PAID | {"park_s": 90})) == (3_660, 90)
    assert wait(decided(blame, TRANSIENT, answered=1, more=PAID)) == (8, None)
    assert wait(decided(blame, TRANSIENT, answered=1, more=PAID | {"park_s": 90})) == (90, None)
    assert decided(blame, TRANSIENT).decide_after_s is None


@rule
def what_was_paid_twice_waits_for_evidence_until_it_is_given_up(blame: Any) -> None:
    for paid_before in (1, 4):
        for failing_s, left_s in ((600.0, DAY_S - 600), (DAY_S, DAY_S), (DAY_S + 9, DAY_S)):
            found = decided(blame, TRANSIENT, failing_s=failing_s, paid_before=paid_before, more=PAID)
            assert wait(found) == (left_s, 0)
        assert wait(decided(blame, TRANSIENT, paid_before=paid_before, more=PAID)) == (DAY_S, 0)
    noise: dict[str, Any] = {"answered": 1, "passing": True, "paid_before": 1, "more": PAID}
    assert wait(decided(blame, TRANSIENT, failing_s=600.0, **noise)) == (3_600, 600)
    assert wait(decided(blame, TRANSIENT, failing_s=DAY_S - 60, **noise)) == (60, 600)


def reconsidered(blame: Any, *, paid_before: int = 2, **evidence: Any) -> Any:
    """What becomes of a lead before a step is paid for again."""
    found = blame.reconsider(blame.Evidence(**evidence), paid_before=paid_before, give_up_after_s=DAY_S)
    return found and (brief(found), wait(found))


@rule
def step_that_was_not_paid_for_twice_is_called(blame: Any) -> None:
    for paid_before in (0, 1):
        assert reconsidered(blame, paid_before=paid_before, failing_s=60.0, answered=3) is None
    assert reconsidered(blame, answered=3) is None, "other faults spent its attempts"


@rule
def step_that_was_paid_for_twice_is_not_called_unless_what_befell_others_too_is_over(blame: Any) -> None:
    dead = (("dead", "paid_enough", False), (0, None))
    waits, rests = (("returned", "undecided", True), (DAY_S - 60, 0)), (("returned", "undecided", True), (3_600, 600))
    for paid_before in (2, 4):
        assert reconsidered(blame, paid_before=paid_before, failing_s=60.0, answered=1) == dead
        assert reconsidered(blame, paid_before=paid_before, failing_s=60.0, answered=1, over=True) == dead
        for others in ("shared", "passing"):
            alike: dict[str, Any] = {"failing_s": 60.0, "answered": 1, others: True, "paid_before": paid_before}
            assert reconsidered(blame, **alike) == rests
            assert reconsidered(blame, **alike, over=True) is None
            assert reconsidered(blame, **alike | {"failing_s": DAY_S, "alone": True}) is None
        assert reconsidered(blame, paid_before=paid_before, failing_s=60.0) == waits
        assert reconsidered(blame, paid_before=paid_before, failing_s=60.0, alone=True) == waits
        assert reconsidered(blame, paid_before=paid_before, failing_s=DAY_S) is None


@rule
def lead_that_is_alone_is_given_up_after_a_day_without_a_further_paid_call(blame: Any) -> None:
    assert reconsidered(blame, failing_s=DAY_S, alone=True) == (("dead", "given_up", False), (0, None))


@rule
def pause_is_as_long_as_the_failure_has_lasted(blame: Any) -> None:
    for answered, longest_s, kinds in ((0, 64, (TRANSIENT, REFUSED, KEY)), (1, 600, (TRANSIENT,))):
        for failing_s in (0.5, 2.0, 16.0, 256.0, 10_000.0):
            full_s = min(max(2.0, failing_s), longest_s)
            for kind in kinds:
                found = [decided(blame, kind, failing_s=failing_s, answered=answered).delay_s for _ in range(40)]
                assert 0.95 * full_s <= min(found) < 0.99 * full_s
                assert max(found) <= full_s
    assert decided(blame, TRANSIENT, answered=1).delay_s <= 2
    billed = decided(blame, TRANSIENT, failing_s=10_000.0, answered=1, passing=True, more=BILLED)
    assert 3_420 <= billed.delay_s <= 3_600
    assert decided(blame, FailureClass.CONTENT).delay_s == 0


@rule
def delay_that_a_server_names_is_honoured_up_to_ten_minutes(blame: Any) -> None:
    assert decided(blame, TRANSIENT, more={"park_s": 90}).delay_s == 90
    assert decided(blame, TRANSIENT, more={"park_s": 9_000}).delay_s == 600


@rule
def words_say_what_happened_to_others(blame: Any) -> None:
    assert str(blame.Evidence()) == "No other lead was answered in the last minute"
    assert str(blame.Evidence(failing_s=0.0)) == "No other lead was answered since"
    three = "3 other leads were answered with this key in the last minute"
    assert str(blame.Evidence(answered=3, with_key=3)) == three
    two = "3 other leads were answered, 2 of them with this key, since"
    assert str(blame.Evidence(answered=3, with_key=2, failing_s=9.0)) == two
    one = "2 keys were refused alike. 1 other lead was answered since"
    assert str(blame.Evidence(answered=1, failing_s=9.0, keys=2)) == one
    for kind in FailureClass:
        assert len(decided(blame, kind, answered=3).words) > 20
    called = decided(blame, FailureClass.CONTENT, more={"usage": Usage(calls=1)})
    assert "answered" in called.words
    assert "No call" in decided(blame, FailureClass.CONTENT).words


@rule
def three_leads_refused_in_a_row_or_all_that_was_in_flight_are_the_installation(blame: Any) -> None:
    assert not blame.is_installation(2, in_a_row=True, at_once=False)
    assert blame.is_installation(3, in_a_row=True, at_once=False)
    assert not blame.is_installation(1, in_a_row=False, at_once=True)
    assert blame.is_installation(2, in_a_row=False, at_once=True)
    assert not blame.is_installation(9, in_a_row=False, at_once=False)


def rest_s(blame: Any, rests: int, *, others: bool, asked_s: float | None = None, again_s: float | None = None) -> Any:
    """Of a key; its turn comes in 128 s."""
    return blame.key_rest_s(rests, others_answered=others, turn_s=128.0, asked_s=asked_s, again_s=again_s)


@rule
def first_rest_is_as_long_as_google_asks(blame: Any) -> None:
    for others in (True, False):
        assert rest_s(blame, 0, others=others, again_s=30_000) == 60
        assert rest_s(blame, 0, others=others, asked_s=7.0, again_s=30_000) == 7


@rule
def rest_grows_to_a_day_while_others_are_answered(blame: Any) -> None:
    rests = [rest_s(blame, n, others=True, asked_s=7) for n in range(1, 8)]
    assert rests == [300, 1_800, 7_200, 43_200, 86_400, 86_400, 86_400]


@rule
def keys_take_turns_while_none_is_answered(blame: Any) -> None:
    assert [rest_s(blame, n, others=False, asked_s=7) for n in (1, 5, 50)] == [128, 128, 128]
    assert rest_s(blame, 1, others=False) == 128
    assert (blame.PROBE_S, blame.LATELY_S) == (64, 600)


@rule
def later_rest_is_never_shorter_than_google_asks(blame: Any) -> None:
    for others in (True, False):
        assert rest_s(blame, 1, others=others, asked_s=5_000) == 5_000
        assert rest_s(blame, 1, others=others, asked_s=36, again_s=30_000) == 30_000


@rule
def key_that_no_call_can_carry_rests_until_its_row_changes(blame: Any) -> None:
    """It says nothing about Google, so no answer can help it."""
    for rests in (0, 3):
        assert rest_s(blame, rests, others=True, asked_s=math.inf) == math.inf


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_rule(check: Callable[[Any], None]) -> None:
    check(ours)


SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.GtE: (ast.Gt, ast.Lt), ast.Gt: (ast.GtE, ast.LtE), ast.Lt: (ast.LtE, ast.GtE), ast.Eq: (ast.NotEq,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.And: (ast.Or,), ast.Or: (ast.And,), ast.Add: (ast.Sub,),
    ast.Mult: (ast.Add,),
}  # fmt: skip


def edits(node: ast.AST) -> Iterator[ast.AST]:
    """Other versions of this node: a condition that is always or never met, another number, the other branch."""
    match node:
        case ast.If():
            for always in (True, False):
                yield ast.If(ast.Constant(always), node.body, node.orelse)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield ast.Call(ast.Name("max" if name == "min" else "min", ast.Load()), node.args, [])
        case ast.Constant(value=str() as word) if word.isidentifier():
            yield ast.Constant("other")
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value * 2 + 1_000)
        case _ if type(node) in SWAPPED:
            yield from (other() for other in SWAPPED[type(node)])


def slots(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Each node with its place in its parent, but not those of types."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for place, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not (
                isinstance(child, ast.Subscript) and "Literal" in ast.unparse(child)
            ):
                yield node, name, place if isinstance(value, list) else None, child
                yield from slots(child)


def mutants(tree: ast.AST) -> Iterator[str]:
    """Make one edit after the other in the tree, each undone before the next."""
    for parent, name, place, node in list(slots(tree)):
        for edit in edits(node):
            replace(parent, name, place, ast.fix_missing_locations(ast.copy_location(edit, node)))
            line = getattr(node, "lineno", 0)
            yield f"line {line}: {ast.unparse(node)[:60]!r} -> {ast.unparse(edit)[:60]!r}"
            replace(parent, name, place, node)


def replace(parent: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[place] = node


def survives(tree: ast.Module) -> bool:
    """Whether all rules hold of the edited module."""
    edited = ModuleType(ours.__name__)
    try:
        exec(compile(tree, "edited", "exec"), edited.__dict__)  # noqa: S102 - our own module
        for check in RULES:
            check(edited)
    except Exception:  # noqa: BLE001 - seen, one way or the other
        return False
    return True


def test_every_single_edit_of_the_rules_is_seen() -> None:
    tree = ast.parse(Path(ours.__file__).read_text())
    assert survives(tree)
    found = [(edit, survives(tree)) for edit in mutants(tree)]
    assert len(found) > 100
    assert [edit for edit, unseen in found if unseen] == []
    assert survives(tree), "each edit was undone"
