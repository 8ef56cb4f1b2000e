"""The measurements of bench/ in their short form: each gives its figures, and they are sane; not that they are fast."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from bench import idle, instances, latency, machine, memory, neighbours, queues, report, throughput, triggers, webhooks
from bench.__main__ import NAMES, STACKED
from bench.measurement import Figure, Measurement
from bench.stack import Stack, running_stack
from tests.conftest import poll

from leadhook.local.database import Database

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The stack that all measurements but that of the triggers run on."""
    with running_stack(lambda _: None) as stack:
        yield stack


def assert_sane(measurement: Measurement) -> None:
    """Numbers, not below nothing; as JSON, too."""
    assert measurement.figures
    for name, figure in measurement.figures.items():
        for number in (figure.value, *figure.beside.values(), *(figure.spread or ())):
            assert math.isfinite(number), name
            assert number >= 0, name
        assert (figure.target == "") == (figure.met is None), name
        json.dumps(figure.as_json())
    json.dumps(measurement.details)
    for chart in measurement.charts.values():
        assert len({tuple(x for x, _ in points) for points in chart.series.values()}) == 1, chart.title
        json.dumps(chart.as_json())


@pytest.mark.parametrize("name", NAMES)
def test_every_measurement_is_a_module(name: str) -> None:
    """`python -m bench NAME` imports it by its name."""
    module = import_module(f"bench.{name}")
    assert callable(module.measure_on if name in STACKED else module.measure)


def test_every_webhook_of_a_burst_is_accepted() -> None:
    """By the served application, over 32 connections; `python -m bench webhooks` sends 200,000."""
    measurement = webhooks.measure(short=True)
    assert_sane(measurement)


@pytest.mark.long
def test_latency_is_measured_for_leadhook_the_bare_chain_and_the_poller(stack: Stack) -> None:
    plan = latency.SHORT
    measurement = latency.measure_on(stack, plan)
    assert_sane(measurement)
    samples = measurement.details
    assert [len(samples[name]) for name in ("service", "bare", "close_service", "close_bare")] == [plan.leads] * 4
    assert len(samples["poller"]) == plan.polled


@pytest.mark.long
def test_throughput_counts_rate_requests_cpu_and_memory(stack: Stack) -> None:
    plan = throughput.SHORT
    measurement = throughput.measure_on(stack, plan)
    assert_sane(measurement)
    (ours,), (polled,) = measurement.details["leadhook"], measurement.details["poller"]
    assert ours["calls"] == 2 * plan.leads
    assert ours["requests"].keys() <= {"claim", "renew", "save"}
    assert 4 * plan.polled < sum(polled["requests"].values()) <= 4 * plan.polled + 2
    assert ours["cpu_ms"] > 0
    assert ours["memory_mb"] > 30


@pytest.mark.long
def test_the_libraries_answer_the_same_leads_with_the_same_calls(stack: Stack) -> None:
    pytest.importorskip("procrastinate", reason="`make bench` installs requirements-bench.lock")
    plan = queues.SHORT
    measurement = queues.measure_on(stack, plan)
    assert_sane(measurement)
    ways = {"leadhook", "procrastinate", "pgqueuer"}
    assert {len(each) for each in measurement.details["latency_ms"].values()} == {plan.turns * plan.leads}
    assert measurement.details["rounds"][plan.concurrencies[0]].keys() == ways
    assert measurement.charts["concurrency"].series.keys() > ways


@pytest.mark.long
def test_every_instance_takes_part_and_no_call_is_made_twice(stack: Stack) -> None:
    measurement = instances.measure_on(stack, instances.SHORT)
    assert_sane(measurement)
    assert {count: its["took_part"] for count, its in measurement.details.items()} == {"1": 1, "2": 2}
    assert measurement.figures["repeated_calls"].met


@pytest.mark.long
def test_memory_is_looked_at_after_each_batch(stack: Stack) -> None:
    """Its slope needs points; whether it is flat, 20,000 leads show."""
    measurement = memory.measure_on(stack, memory.SHORT)
    assert_sane(measurement)
    assert len(measurement.charts["memory"].series["leadhook"]) == memory.SHORT.batches


@pytest.mark.long
def test_idle_service_asks_for_nothing_but_its_sweep(stack: Stack) -> None:
    """Every request is counted by PostgREST itself."""
    measurement = idle.measure_on(stack, idle.SHORT)
    assert_sane(measurement)
    assert measurement.details["leadhook"].keys() == {"sweep"}
    assert measurement.details["poller"].keys() == {"rpc/rpc_get_eligible_llm_jobs"}
    assert measurement.met


@pytest.mark.long
def test_triggers_are_timed_in_pairs(wired_database: Database) -> None:
    measurement = triggers.measure_on(wired_database, 1)
    assert_sane(measurement)
    assert all(figure.beside["without"] > 0 for figure in measurement.figures.values())


def test_other_sessions_are_measured_beside_an_open_transaction(wired_database: Database) -> None:
    with (
        psycopg.connect(wired_database.admin_conninfo, autocommit=True) as writer,
        psycopg.connect(wired_database.admin_conninfo, autocommit=True) as other,
    ):
        writer.execute(neighbours.PREPARE.encode())
        measurement = neighbours.measure_on(writer, [other], 1, 5)
        assert writer.execute("select count(*) from public.lead_details").fetchone() == (0,)
    assert_sane(measurement)
    assert {len(costs) for costs in measurement.details["cpu_us"].values()} == {1}


def test_missed_target_is_shown_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    figure = Figure("a figure", 2.0, "ms", beside={"floor": 1.0}, target="≤ 1 ms", met=False)
    measurement = Measurement("A measurement", {"figure": figure})
    busy = machine.Machine(busy_before=0.0, busy_after=0.9)
    file = report.keep("example", measurement, busy, short=True, seconds=1)
    report.show(measurement, busy)
    shown = capsys.readouterr().out
    assert "MISSED" in shown
    assert "BUSY MACHINE" in shown
    kept = json.loads(file.read_text())
    assert kept["met"] is False
    assert kept["figures"]["figure"]["ratio"] == {"floor": 2.0}


@pytest.mark.long
def test_interrupted_bench_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", "bench", "idle", "--short"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        directory = next(Path(line.split()[-1]) for line in process.stderr if "starting" in line)
        poll(lambda: len(processes_on(directory)) > 1, lambda: "the stack does not start")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not directory.exists()
    assert processes_on(directory) == []


def processes_on(directory: Path) -> list[str]:
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in commands if str(directory) in command]
