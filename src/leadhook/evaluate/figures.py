"""Compares the new scores with the saved ones."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median, quantiles
from typing import Literal, Self

from leadhook.domain.facts import Facts
from leadhook.domain.results import CONTACT_FROM
from leadhook.evaluate.results import Candidate, Results, Scored

Crossing = Literal["up", "down"]


class Compared(Facts):
    lead_id: str
    old_score: int
    new_score: int
    shift: int
    crosses: Crossing | None
    """The direction in which it crosses 50, the lowest score for contact."""
    old_subject: str | None
    new_subject: str | None
    """None if the message failed."""
    reason: str | None

    @classmethod
    def of(cls, scored: Scored) -> Self:
        old, new = scored.saved.score, scored.score or 0
        return cls(
            lead_id=scored.lead_id,
            old_score=old,
            new_score=new,
            shift=new - old,
            crosses=crossing(old, new),
            old_subject=scored.saved.subject,
            new_subject=scored.subject,
            reason=scored.reason,
        )


class Failed(Facts):
    lead_id: str
    error_code: str
    reason: str | None
    is_final: bool
    """False if the next run tries again."""


class Noise(Facts):
    """How much scores vary without any change: the same leads, scored twice by the candidate."""

    leads: int
    mean_absolute_shift: float | None
    largest_shift: int | None
    crosses: int
    shifts: tuple[int, ...]


class Spent(Facts):
    """Cost and model time of the compared leads; None if unknown."""

    old_usd_per_lead: float | None
    new_usd_per_lead: float | None
    old_median_ms: float | None
    new_median_ms: float | None
    new_p95_ms: float | None
    """The 95th percentile of the model time."""
    total_usd: float | None
    """The cost of everything bought with this file, including failures and noise."""


class Report(Facts):
    candidate: Candidate
    leads: int
    """The number of leads that match the filter."""
    compared: int
    missing: int
    """The number of leads that a later run still has to score."""
    up: int
    down: int
    agreement: float | None
    """The share of leads on the same side of 50 as before."""
    old_mean: float | None
    new_mean: float | None
    mean_shift: float | None
    median_shift: float | None
    mean_absolute_shift: float | None
    noise: Noise
    spent: Spent
    results: tuple[Compared, ...]
    """Leads that cross 50 first, then by the size of their shift."""
    failures: tuple[Failed, ...]


def crossing(old: int, new: int) -> Crossing | None:
    if (old < CONTACT_FROM) == (new < CONTACT_FROM):
        return None
    return "up" if new >= CONTACT_FROM else "down"


def report(candidate: Candidate, results: Results, lead_ids: Sequence[str]) -> Report:
    wanted = frozenset(lead_ids)
    final = {lead_id: one for lead_id, one in results.final("score").items() if lead_id in wanted}
    scored = [one for one in final.values() if one.score is not None]
    compared = sorted((Compared.of(one) for one in scored), key=lambda one: (not one.crosses, -abs(one.shift)))
    shifts = [one.shift for one in compared]
    crossings = [one.crosses for one in compared if one.crosses]
    return Report(
        candidate=candidate,
        leads=len(wanted),
        compared=len(compared),
        missing=len(wanted - final.keys()),
        up=crossings.count("up"),
        down=crossings.count("down"),
        agreement=_rounded(1 - len(crossings) / len(compared), 4) if compared else None,
        old_mean=_mean(one.old_score for one in compared),
        new_mean=_mean(one.new_score for one in compared),
        mean_shift=_mean(shifts),
        median_shift=median(shifts) if shifts else None,
        mean_absolute_shift=_mean(map(abs, shifts)),
        noise=_noise(final, results),
        spent=_spent(scored, results),
        results=tuple(compared),
        failures=tuple(_failures(results, final, wanted)),
    )


def _noise(final: dict[str, Scored], results: Results) -> Noise:
    pairs = [
        (first.score, again.score)
        for lead_id, again in results.final("noise").items()
        if (first := final.get(lead_id)) and first.score is not None and again.score is not None
    ]
    shifts = tuple(again - first for first, again in pairs)
    return Noise(
        leads=len(pairs),
        mean_absolute_shift=_mean(map(abs, shifts)),
        largest_shift=max(map(abs, shifts), default=None),
        crosses=sum(crossing(first, again) is not None for first, again in pairs),
        shifts=shifts,
    )


def _spent(scored: Sequence[Scored], results: Results) -> Spent:
    old_ms = [one.saved_ms for one in scored if one.saved_ms is not None]
    new_ms = [one.model_ms for one in scored]
    total = [one.usd for one in results.scored if one.usd is not None]
    return Spent(
        old_usd_per_lead=_mean((one.saved_usd for one in scored if one.saved_usd is not None), 9),
        new_usd_per_lead=_mean((one.usd for one in scored if one.usd is not None), 9),
        old_median_ms=median(old_ms) if old_ms else None,
        new_median_ms=median(new_ms) if new_ms else None,
        new_p95_ms=_p95(new_ms),
        total_usd=_rounded(sum(total), 9) if total else None,
    )


def _failures(results: Results, final: dict[str, Scored], wanted: frozenset[str]) -> list[Failed]:
    last = {one.lead_id: one for one in results.scored if one.purpose == "score" and one.lead_id in wanted}
    return [
        Failed(lead_id=one.lead_id, error_code=one.error_code, reason=one.reason, is_final=one.is_final)
        for one in (last | final).values()
        if one.score is None and one.error_code
    ]


def _p95(values: Sequence[float]) -> float | None:
    if len(values) < 2:  # noqa: PLR2004 - a quantile lies between two values
        return values[0] if values else None
    return _rounded(quantiles(values, n=20, method="inclusive")[-1], 0)


def _mean(values: Iterable[float], digits: int = 2) -> float | None:
    found = list(values)
    return _rounded(fmean(found), digits) if found else None


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0
