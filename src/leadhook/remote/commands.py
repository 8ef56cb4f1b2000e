"""`leadhook replay …`: commands for an operator, on a service that runs anywhere."""

from cyclopts import App

from leadhook.confirmation import confirm
from leadhook.remote import replay as work
from leadhook.remote.order import Manner, Selection
from leadhook.remote.service import open_service

app = App(name="replay")

EVERYTHING = Selection()
AS_EVER = Manner()


@app.default
def begin(*, selection: Selection = EVERYTHING, manner: Manner = AS_EVER) -> int:
    """Have leads judged again, behind fresh ones, and watch; Ctrl-C leaves it running.

    --all shows what it would cost, and asks. The exit code is 1 when a lead failed or could not be replayed.

    Asks the service at SERVICE_URL, which is http://127.0.0.1:8000 unless it is set; ADMIN_TOKEN lets in.
    """
    order = selection.fields()
    if manner.reason is not None:
        order["reason"] = manner.reason
    with open_service() as service:
        if manner.dry_run:
            work.dry_run(service, order, work.terminal())
            return 0
        if selection.all and not manner.yes:
            work.dry_run(service, order, work.terminal())
            confirm("Score all of them again?", "--yes does it; --dry-run only counts.")
        return work.begin(service, order, work.terminal())


@app.command
def follow(replay_id: int, /) -> int:
    """Watch a replay until it is over."""
    with open_service() as service:
        return work.follow(service, replay_id, work.terminal())


@app.command
def stop(replay_id: int, /) -> int:
    """Stop a replay: what is not begun goes back to what it was, what is being judged ends."""
    with open_service() as service:
        return work.stop(service, replay_id, work.terminal())
