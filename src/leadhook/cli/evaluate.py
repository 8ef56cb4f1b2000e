"""`leadhook evaluate`: shows the cost, asks, scores leads again, and reports what would change."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leadhook.cli.asking import ask
from leadhook.cli.options import TIME_EXAMPLE, AsJson, DryRun, ForTag, ForUser, Time, Yes, as_filter
from leadhook.cli.output import confirm, line, open_console, print_json, table
from leadhook.command_error import MisuseError
from leadhook.domain.forecast import Spending, forecast
from leadhook.domain.results import Usage
from leadhook.domain.spend import Price, Tariff, dollars
from leadhook.evaluate.figures import Report, report
from leadhook.evaluate.results import OWNER_ALONE, Candidate, ResultsFile, read_results
from leadhook.evaluate.scoring import Plan, Scoring, make_plan
from leadhook.prices import read_prices
from leadhook.settings import Settings, load_settings
from leadhook.store import SupabaseStore

app = App(name="evaluate")

SIGNALLED: Final = 128
"""The exit code after a signal is this plus the signal's number."""
SHOWN: Final = 20
"""Number of leads in the table; --json and --html have all."""

Score = Annotated[int | None, Parameter(validator=Number(gte=0, lte=100))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvaluationSelection:
    """The answered leads to score again."""

    user: ForUser = None
    tag: ForTag = None
    min_score: Annotated[Score, Parameter(help="Only leads whose saved score is at least this.")] = None
    max_score: Annotated[Score, Parameter(help="Only leads whose saved score is at most this.")] = None
    since: Annotated[
        Time, Parameter(help=f"Only leads scored since this time, e.g. {TIME_EXAMPLE} (UTC by default).")
    ] = None
    limit: Annotated[
        int, Parameter(validator=Number(gte=1, lte=10_000), help="Maximum number of leads, ordered by lead_id.")
    ] = 100

    def fields(self) -> dict[str, Any]:
        return as_filter(
            user_id=self.user, tag=self.tag, score_min=self.min_score, score_max=self.max_score, since=self.since
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """What is done, and where it goes."""

    results: Annotated[
        Path, Parameter(help="The file for the new scores. A repeated command buys no score that is in it.")
    ] = Path("evaluation.jsonl")
    html: Annotated[Path | None, Parameter(help="Write the report with charts to this file.")] = None
    as_json: AsJson = False
    dry_run: DryRun = False
    yes: Yes = False


ALL: Final = EvaluationSelection()
BY_DEFAULT: Final = Output()


@app.default
def evaluate(
    *,
    prompts_file: Annotated[
        Path | None,
        Parameter(help="A TOML file with wildnet_data, scoring_criteria_and_icp or message_prompt."),
    ] = None,
    model: Annotated[str | None, Parameter(help="The model. Default: GEMINI_MODEL.")] = None,
    noise: Annotated[
        int,
        Parameter(validator=Number(gte=0, lte=1000), help="Score this many leads twice, to measure the noise."),
    ] = 0,
    selection: EvaluationSelection = ALL,
    output: Output = BY_DEFAULT,
) -> int:
    """Score answered leads again with another prompt or model, and report what would change.

    Nothing is written to the leads. Texts that are not in --prompts-file come from each lead's prompts row. Shows the
    expected cost, and asks; the cost counts against the budgets, and paused leads are not scored. After Ctrl-C, the
    same command continues where it stopped. The exit code is 1 if a lead has no new score. docs/evaluate.md explains
    the report.

    For example: `leadhook evaluate --tag fintech --limit 200 --prompts-file new.toml --noise 20 --html report.html`
    """
    settings = load_settings()
    candidate = _read_candidate(prompts_file, model or settings.gemini_model)
    price = read_prices(settings.gemini_price_file).price_of(candidate.model)
    before = read_results(output.results)
    before.check(candidate, output.results)
    plan = ask(
        lambda store: make_plan(store, selection.fields(), limit=selection.limit, noise=noise, results=before),
        settings,
    )
    cost = _forecast(plan, price)
    words = f"{plan.purchases:,} scores of {len(plan.leads):,} leads with {candidate.model}, {_cost(cost)}"
    if output.dry_run:
        _show_dry_run(plan, cost, words, as_json=output.as_json)
        return 0
    if plan.purchases and not output.yes:
        confirm(f"Buy {words}?", "--yes buys them without asking; --dry-run only counts.")
    file = ResultsFile.open(output.results, candidate)
    try:
        run = _buy(settings, plan, file, price)
        found = report(candidate, file.results, [lead.lead_id for lead in plan.leads])
    finally:
        file.close()
    _show(found, output)
    _explain_rest(run, found, output.results)
    if run.interrupted_by is not None:
        return SIGNALLED + run.interrupted_by
    return 1 if found.missing or found.failures else 0


def _read_candidate(file: Path | None, model: str) -> Candidate:
    if file is None:
        return Candidate(model=model)
    try:
        texts = tomllib.loads(file.read_text(encoding="utf-8"))
        return Candidate.model_validate({**texts, "model": model}, strict=True)
    except OSError as error:
        raise MisuseError(f"{file} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MisuseError(f"{file} is not a TOML file in UTF-8: {error}") from None
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]) for item in error.errors())
        raise MisuseError(
            f"{file}: {names}: only texts named wildnet_data, scoring_criteria_and_icp and message_prompt are allowed"
        ) from None


def _forecast(plan: Plan, price: Price | None) -> float | None:
    """Estimate from the tokens that the same leads took before. None if these or the price are unknown."""
    history = sum((lead.saved_usage for lead in plan.leads if lead.lead_id in plan.to_score), Spending())
    if not history.known:
        history = sum((lead.saved_usage for lead in plan.leads), Spending())
    expected = forecast(plan.purchases, history, Spending()) if plan.purchases else Spending()
    if price is None or expected is None:
        return None
    return price.cost(
        Usage(**{name: round(getattr(expected, name)) for name in Usage.model_fields if name != "unmetered"})
    )


def _cost(usd: float | None) -> str:
    return "cost unknown" if usd is None else f"about {dollars(usd)}"


def _show_dry_run(plan: Plan, cost: float | None, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": True, "leads": len(plan.leads), "purchases": plan.purchases, "forecast_usd": cost})
    else:
        line(open_console(), f"would buy {words}; nothing was bought")


def _buy(settings: Settings, plan: Plan, file: ResultsFile, price: Price | None) -> Scoring:
    # This import takes a second, which `--help` and `--dry-run` need not wait for.
    from leadhook.gemini import open_scorer
    from leadhook.gemini.limits import call_limits

    columns = (TextColumn("scored"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = open_console(to_stderr=True)
    tariff = Tariff((price,), call_limits()) if price else None

    async def run(store: SupabaseStore, bar: Progress) -> Scoring:
        task = bar.add_task("", total=plan.purchases)
        async with open_scorer(model=file.candidate.model, base_url=settings.gemini_base_url) as scorer:
            scoring = Scoring(store, scorer, tariff, file, lambda: bar.advance(task))
            await scoring.run(plan)
        return scoring

    with Progress(*columns, console=console, disable=not (console.is_terminal and plan.purchases)) as bar:
        return ask(lambda store: run(store, bar), settings)


def _show(found: Report, output: Output) -> None:
    # With the charts' library, which `--help` and `--dry-run` do without.
    from leadhook.evaluate.page import render, summary

    if output.html is not None:
        _write_page(output.html, render(found))
    if output.as_json:
        print_json(found.model_dump(mode="json"))
        return
    console = open_console()
    for name, words in summary(found):
        line(console, f"{name:21} {words}")
    if found.results:
        table(console, ("lead", "old", "new", "shift", "old subject", "new subject"), _rows(found))
    if len(found.results) > SHOWN:
        line(console, f"These are {SHOWN} of {len(found.results):,} leads; --html and --json have all.")


def _rows(found: Report) -> list[tuple[str, ...]]:
    return [
        (
            one.lead_id,
            f"{one.old_score}",
            f"{one.new_score}",
            f"{one.shift:+}",
            one.old_subject or "",
            one.new_subject or "",
        )
        for one in found.results[:SHOWN]
    ]


def _write_page(path: Path, text: str) -> None:
    """Readable only by its owner, because it names leads."""
    try:
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ALONE), "w", encoding="utf-8"
        ) as file:
            os.fchmod(file.fileno(), OWNER_ALONE)
            file.write(text)
    except OSError as error:
        raise MisuseError(f"{path} can't be written: {error.strerror}") from None


def _explain_rest(run: Scoring, found: Report, results: Path) -> None:
    console = open_console(to_stderr=True)
    if run.halted:
        line(console, f"Stopped: {run.halted}")
    elif run.blocked:
        line(
            console, f"{len(run.blocked):,} leads were not scored: they are paused, or a budget is too small for them."
        )
    for lead_id, reason in list(run.unreadable.items())[:SHOWN]:
        line(console, f"{lead_id} was not scored: {reason}")
    if found.missing:
        line(console, f"{found.missing:,} leads have no new score yet; the same command continues with {results}.")
