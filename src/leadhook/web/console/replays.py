"""Failures by reason, and replays: count and cost first, then the button, then the progress."""

from typing import Final

from pydantic import ValidationError
from starlette.responses import Response

from leadhook.domain.phrases import amount, duration_words, sentence
from leadhook.domain.replays import ReplayCount, ReplayStatus
from leadhook.domain.spend import dollars
from leadhook.web.console.actions import Why, perform, preview
from leadhook.web.console.rendering import url
from leadhook.web.console.visit import Place, Visit
from leadhook.web.replays import ReplayRequest, existing, read_replay_id, start_replay
from leadhook.web.requests import Problem, in_words

HOME: Final = "/console/replays"

_OUTCOMES: Final = {
    "held": "held with the backlog: release it instead",
    "not_eligible": "not eligible, so they are not scored",
    "unknown": "not known",
    "already_queued": "queued already",
}


async def list_failures(visit: Visit) -> Response:
    found = await visit.state["store"].failures()
    return visit.page("failures.html", groups=found.groups)


async def preview_replay(visit: Visit) -> Response:
    wanted, store = _wanted(visit), visit.state["store"]
    if wanted.filter:
        found = await store.replay_preview(wanted.filter.fields())
    else:
        found = (await store.dry_run(wanted.named(), None, None)).model_copy(update={"complete": True})
    button = f"Replay {amount(found.count, 'lead')}" if found.complete else "Replay all that match"
    back = url("/console/lead", id=wanted.named()[0]) if wanted.named() else "/console/failures"
    sentences = _consequences(found, visit.state["slots"])
    return preview(visit, _title(wanted), sentences, button if found.count else None, back=back, sample=found.sample)


async def begin_replay(visit: Visit) -> Response:
    why = visit.fields(Why)
    wanted = _wanted(visit).model_copy(update={"reason": why.reason, "request_id": why.request_id})
    reply = await perform(start_replay, visit.state, wanted, visit.actor)
    if reply.replay_id is None:
        raise Problem(409, "No lead was queued.")
    return visit.go(f"{HOME}/{reply.replay_id}")


async def list_replays(visit: Visit) -> Response:
    store = visit.state["store"]
    running, newest = await store.progress(), await store.replays()
    return visit.page("replays.html", running=running, newest=newest.replays)


async def show_replay(visit: Visit) -> Response:
    status, progress = await _status(visit), await visit.state["store"].progress()
    running = next((one for one in progress.replays if one.replay_id == status.replay_id), None)
    here = f"{HOME}/{status.replay_id}"
    following = url(here, after=status.next_after) if status.next_after else None
    return visit.live_page(
        "replay_live.html",
        f"{here}/live",
        moving=running,
        title=f"Replay {status.replay_id}",
        replay=status,
        running=running,
        now=progress.now,
        here=here,
        next=following,
    )


async def preview_stop(visit: Visit) -> Response:
    status = await _status(visit)
    waiting, leased = (amount(count, "lead") for count in (status.progress.waiting, status.progress.leased))
    sentences = [
        f"{waiting} that have not started return to their previous state; {leased} being processed finish.",
        f"{dollars(status.usage.cost_usd or 0)} was spent on this replay so far.",
    ]
    button = f"Stop replay {status.replay_id}" if status.state in ("queueing", "running") else None
    return preview(visit, "Stop a replay", sentences, button, back=f"{HOME}/{status.replay_id}", stops=True)


async def stop_replay(visit: Visit) -> Response:
    replay_id = read_replay_id(visit.request)
    await perform(visit.state["store"].stop_replay, replay_id, visit.actor, visit.fields(Why).reason)
    visit.state["engine"].wake()
    return visit.go(f"{HOME}/{replay_id}")


async def _status(visit: Visit) -> ReplayStatus:
    replay_id = read_replay_id(visit.request)
    status = await visit.state["store"].replay_status(replay_id, after=visit.query(Place).after)
    return existing(status, replay_id)


def _wanted(visit: Visit) -> ReplayRequest:
    """Read the leads from the query: ids, or a filter.

    Raises:
        Problem: 422.
    """
    query = visit.request.query_params
    given = {name: value for name, value in query.items() if value and name != "lead_id"}
    every = {"all": True} if given == {"all": "true"} else given
    body = {"lead_ids": query.getlist("lead_id"), "filter": every}
    try:
        return ReplayRequest.model_validate({name: value for name, value in body.items() if value}, strict=False)
    except ValidationError as error:
        raise Problem(422, f"{in_words(error)}.") from None


def _title(wanted: ReplayRequest) -> str:
    if wanted.filter is None:
        named = wanted.named()
        return f"Replay {named[0]}" if len(named) == 1 else f"Replay {len(named)} leads"
    given = ", ".join(f"{name} {value}" for name, value in wanted.filter.fields().items())
    return f"Replay all leads with {given}" if "all" not in wanted.filter.fields() else "Replay every lead"


def _consequences(found: ReplayCount, slots: int) -> list[str]:
    least = "" if found.complete else "at least "
    sentences = [sentence(f"{least}{amount(found.count, 'lead')} would be scored again, after fresh leads")]
    if not found.complete:
        sentences.append("A page has no time to count more: `leadhook replay --dry-run` counts all of them.")
    sentences += [
        sentence(f"{least}{amount(count, 'lead')}: {words}")
        for code, words in _OUTCOMES.items()
        if (count := found.counts.get(code))
    ]
    cost = found.forecast(slots)
    if cost is not None and found.count:
        price = "an unknown price" if cost.cost_usd is None else f"about {dollars(cost.cost_usd)}"
        sentences.append(
            f"Forecast: {least}{price} and {duration_words(cost.duration_s * 1000)}, from what "
            f"{cost.scored_before:,} of them cost before and from the average of recent leads."
        )
    elif found.count:
        sentences.append("There is no forecast: no lead was scored yet.")
    sentences.append("Earlier results are kept. The new answer replaces the one in llm_response.")
    return sentences
