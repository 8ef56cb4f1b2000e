"""`leadhook replay`: queues leads and shows the progress. The service scores them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leadhook.cli.asking import actor, ask
from leadhook.cli.options import TIME_EXAMPLE, AsJson, DryRun, ForTag, ForUser, Reason, Time, Yes, as_filter
from leadhook.cli.output import confirm, line, open_console, print_json, table
from leadhook.command_error import CommandError, MisuseError
from leadhook.domain.findings import check_everything
from leadhook.domain.lead_snapshot import JobState
from leadhook.domain.phrases import amount
from leadhook.domain.replays import DryRunAnswer, Outcome, ReplayReply, ReplayStatus, ReplayUsage
from leadhook.domain.spend import dollars
from leadhook.settings import load_settings
from leadhook.store import SupabaseStore, begin_replay, count_replay, when_free

app = App(name="replay")

LOOK_EACH_S: Final = 1.0
SLICE_EACH_S: Final = 0.1
"""Pause between two slices: fresh leads wait while a slice is queued."""
COUNT_S: Final = 60.0
SHOWN: Final = 20
LARGEST_REPLAY: Final = 1000
_QUEUEING: Final = {"queued": "complete", "queueing": "in progress", "stopping": "being undone", "stopped": "stopped"}
"""A phase in words. Whether its leads are scored is the state of `replay status`."""

Score = Annotated[int | None, Parameter(validator=Number(gte=0, lte=100))]
ReplayId = Annotated[int, Parameter(validator=Number(gte=0, lte=2**63 - 1), help="The number of the replay.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Selection:
    """The leads to replay: by id, or by filter."""

    lead_id: Annotated[tuple[str, ...], Parameter(negative="", help="Replay this lead. Can be repeated.")] = ()
    all: Annotated[bool, Parameter(negative="", help="Replay every lead that has a job.")] = False
    user: ForUser = None
    tag: ForTag = None
    state: Annotated[
        JobState | None,
        Parameter(help="Only leads whose job is in this state."),
    ] = None
    outcome: Annotated[
        Outcome | None,
        Parameter(help="Only leads whose last attempt had this outcome."),
    ] = None
    error_code: Annotated[str | None, Parameter(help="Only leads whose job has this error code.")] = None
    score_min: Annotated[Score, Parameter(help="Only leads whose last score is at least this.")] = None
    score_max: Annotated[Score, Parameter(help="Only leads whose last score is at most this.")] = None
    prompt_version: Annotated[str | None, Parameter(help="Only leads last scored with this prompt version.")] = None
    since: Annotated[
        Time,
        Parameter(help=f"Only leads finished since this time, e.g. {TIME_EXAMPLE} (UTC by default)."),
    ] = None
    until: Annotated[
        Time, Parameter(help=f"Only leads finished before this time, e.g. {TIME_EXAMPLE} (UTC by default).")
    ] = None
    limit: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=2**31 - 1),
            help="With a filter: maximum number of leads, ordered by lead_id.",
        ),
    ] = None

    @property
    def lead_ids(self) -> list[str] | None:
        """The ids, each once; None with a filter."""
        return list(dict.fromkeys(self.lead_id)) or None

    def filter(self) -> dict[str, Any] | None:
        """The filter for the database; None where leads are named.

        Raises:
            MisuseError: no lead is asked for, or in two ways.
        """
        given = as_filter(
            all=self.all or None,
            user_id=self.user,
            tag=self.tag,
            state=self.state,
            outcome=self.outcome,
            error_code=self.error_code,
            score_min=self.score_min,
            score_max=self.score_max,
            prompt_version=self.prompt_version,
            since=self.since,
            until=self.until,
        )
        if "" in self.lead_id:
            raise MisuseError("--lead-id is empty: nothing was changed")
        if self.lead_id and given:
            raise MisuseError("--lead-id can't be combined with a filter")
        if not self.lead_id and not given:
            raise MisuseError("name the leads with --lead-id, or select them with --user, --tag, --state … or --all")
        if self.all and len(given) > 1:
            raise MisuseError("--all can't be combined with other filters")
        if self.lead_id and (self.limit is not None or len(self.lead_id) > LARGEST_REPLAY):
            raise MisuseError(f"--lead-id may be given {LARGEST_REPLAY:,} times, and without --limit")
        return given or None


EVERYTHING = Selection()


@app.default
def begin(
    *,
    selection: Selection = EVERYTHING,
    reason: Reason = None,
    follow: Annotated[bool, Parameter(help="Show the progress until every lead is scored.")] = True,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Score leads again, after fresh ones.

    With a filter, shows the number of leads and the expected cost, and asks. Leads named by --lead-id are queued
    without asking. Then the progress is shown; Ctrl-C leaves the replay running. The exit code is 1 if a lead failed or
    could not be replayed.

    For example: `leadhook replay --tag founders --score-max 49 --limit 200 --dry-run`
    """
    fields, limit, settings = selection.filter(), selection.limit, load_settings()
    if dry_run or (fields and not yes):
        count = ask(
            lambda store: count_replay(store, selection.lead_ids, fields, limit, within_s=COUNT_S),
            settings,
        )
        found = DryRunAnswer.of(count, settings.max_concurrency)
        is_empty = found.complete and not found.count
        if as_json and (dry_run or is_empty):
            print_json(found.model_dump(mode="json"))
        else:
            _show_count(found, open_console(to_stderr=as_json))
        if dry_run or is_empty:
            return 0
        confirm("Score them again?", "--yes replays without asking; --dry-run only counts.")
    reply = ask(
        lambda store: when_free(lambda: begin_replay(store, selection.lead_ids, fields, limit, actor(), reason)),
        settings,
    )
    if reply.replay_id is None:
        raise CommandError("the database did not start a replay")
    refused = [lead for lead in reply.leads if lead.outcome in ("unknown", "not_eligible")]
    console = open_console(to_stderr=as_json)
    _show_start(reply, console)
    status = _watch(reply.replay_id, console, until_scored=follow)
    _show_status(status, as_json=as_json, refused=[lead.model_dump() for lead in refused])
    return 1 if refused or status.progress.failed else 0


@app.command(name="list")
def list_replays(
    *,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="Maximum number of replays.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest replays.

    Shows who started each one, when and why, how many leads it queued, and whether queueing is complete. `leadhook
    replay status` shows how many of them are scored.

    For example: `leadhook replay list --limit 5`
    """
    found = ask(lambda store: store.replays(limit))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (
            str(replay.replay_id),
            f"{replay.created_at:%Y-%m-%d %H:%M}",
            replay.actor,
            _QUEUEING.get(replay.phase, replay.phase),
            _counts(replay.counts),
            replay.reason or "",
        )
        for replay in found.replays
    ]
    if rows:
        table(open_console(), ("id", "begun", "by", "queueing", "leads", "reason"), rows)
    else:
        line(open_console(), "there are no replays")


@app.command(name="status")
def show(
    replay_id: ReplayId,
    /,
    *,
    after: Annotated[str, Parameter(help="Only leads after this lead_id.")] = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="Maximum number of leads.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the progress of a replay, in total and for each lead.

    For example: `leadhook replay status 12`
    """
    status = _existing(
        ask(lambda store: store.replay_status(replay_id, after=after, limit=limit, most=None)), replay_id
    )
    _show_status(status, as_json=as_json)
    if as_json:
        return
    rows = [
        (lead.lead_id, lead.state, "" if lead.score is None else str(lead.score), lead.reason or "")
        for lead in status.leads
    ]
    if rows:
        table(open_console(), ("lead", "state", "score", "reason"), rows)
    if status.next_after:
        line(open_console(), f"There are more leads: --after {status.next_after} shows the next ones.")


@app.command(name="follow")
def follow_replay(replay_id: ReplayId, /, *, as_json: AsJson = False) -> int:
    """Show the progress of a replay until it ends.

    The exit code is 1 if a lead failed.

    For example: `leadhook replay follow 12`
    """
    status = _watch(replay_id, open_console(to_stderr=as_json))
    _show_status(status, as_json=as_json)
    return 1 if status.progress.failed else 0


@app.command
def stop(replay_id: ReplayId, /, *, reason: Reason = None, as_json: AsJson = False) -> None:
    """Stop a replay.

    Leads that have not started return to their previous state; leads in progress are finished.

    For example: `leadhook replay stop 12`
    """
    status = ask(lambda store: _stop(store, replay_id, reason))
    if status.state == "finished" and not as_json:
        words = f"replay {replay_id} has already finished: nothing was changed"
        line(open_console(), words)
    else:
        _show_status(status, as_json=as_json)


async def _stop(store: SupabaseStore, replay_id: int, reason: str | None) -> ReplayStatus:
    status = _existing(await when_free(lambda: store.stop_replay(replay_id, actor(), reason)), replay_id)
    while status.state == "stopping":
        status = await _next_slice(store, replay_id)
    return status


def _watch(replay_id: int, console: Console, *, until_scored: bool = True) -> ReplayStatus:
    """Queue the remaining slices and, with `until_scored`, wait for the last lead."""
    settings = load_settings()

    async def watch(store: SupabaseStore) -> ReplayStatus:
        status = _existing(await store.replay_status(replay_id), replay_id)
        if until_scored and status.progress.unfinished:
            for trouble in check_everything(await store.status(), settings.sweep_interval_sec).reasons:
                line(console, f"! {trouble}", "yellow")
        columns = (TextColumn("scored"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("", total=None)
            while True:
                bar.update(task, total=status.total or 1, completed=status.total - status.progress.unfinished)
                if status.state in ("queueing", "stopping"):
                    status = await _next_slice(store, replay_id)
                elif until_scored and status.progress.unfinished:
                    await asyncio.sleep(LOOK_EACH_S)
                    status = await store.replay_status(replay_id)
                elif until_scored and not status.complete:
                    return await store.replay_status(replay_id, most=None)
                else:
                    return status

    try:
        return ask(watch, settings)
    except KeyboardInterrupt:
        line(
            console,
            f"replay {replay_id} continues. To follow it: `leadhook replay follow {replay_id}`. "
            f"To stop it: `leadhook replay stop {replay_id}`",
        )
        raise


async def _next_slice(store: SupabaseStore, replay_id: int) -> ReplayStatus:
    """Queue or unqueue the next slice. The service does the same; whichever is first does the work."""
    await asyncio.sleep(SLICE_EACH_S)
    await when_free(store.replay_slice)
    return await store.replay_status(replay_id)


def _existing(status: ReplayStatus, replay_id: int) -> ReplayStatus:
    if not status.found:
        raise CommandError(f"there is no replay {replay_id}; `leadhook replay list` shows the newest")
    return status


def _show_count(found: DryRunAnswer, console: Console) -> None:
    line(console, f"would score {amount(found.count, 'lead')} ({_counts(found.counts) or 'none'}); nothing was changed")
    if not found.complete:
        line(console, "counting all leads took too long: these are the figures of a part")
    if found.forecast is None:
        line(console, "no forecast: no lead was scored yet")
    elif found.count:
        seconds = found.forecast.duration_s
        duration = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - readable
        line(console, f"forecast: {_usage_words(found.forecast)}, about {duration}")
    for lead_id in found.sample:
        line(console, lead_id, indent=2)


def _show_start(reply: ReplayReply, console: Console) -> None:
    line(console, f"replay {reply.replay_id}: {_counts(reply.counts) or 'nothing to be done'}")
    refused = [lead for lead in reply.leads if lead.outcome in ("unknown", "not_eligible")]
    for lead in refused[:SHOWN]:
        lacks = f", lacks {', '.join(lead.missing)}" if lead.missing else ""
        line(console, f"{lead.lead_id}: {lead.outcome}{lacks}", indent=2)
    if len(refused) > SHOWN:
        line(console, f"and {len(refused) - SHOWN} more like these", indent=2)


def _show_status(status: ReplayStatus, *, as_json: bool, refused: Sequence[Mapping[str, Any]] | None = None) -> None:
    if as_json:
        print_json(status.model_dump(mode="json") | ({} if refused is None else {"refused": list(refused)}))
        return
    name = f"replay {status.replay_id} {status.state}"
    if not status.complete:
        waiting = f"{status.progress.waiting:,} waiting; there are too many to count the others here"
        line(open_console(), f"{name}: {amount(status.total, 'lead')} ({waiting})")
        return
    parts = _counts(dict(status.progress)) or "none"
    usage = _usage_words(ReplayUsage.of(status.usage))
    line(open_console(), f"{name}: {amount(status.total, 'lead')} ({parts}), {usage}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _usage_words(usage: ReplayUsage) -> str:
    cost = usage.cost_usd if usage.calls else 0
    words = "cost unknown, as the model has no known price" if cost is None else dollars(cost)
    return f"{usage.calls} calls, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, {words}"
