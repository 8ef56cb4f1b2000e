"""The engine: what happens to a lead while this process holds it. Read this first.

The parts: a webhook sets the wake signal of the `dispatcher`, which claims a batch when the `schedule` has a reason and
a slot is free or soon will be. For a short time after a webhook it also looks by itself, because pg_net delivers a busy
stream in one burst a second. Each claimed lead is a lease, held and renewed by `leases`. The `executor` runs one
attempt per lead, with keys from `api_keys`. `writeback` saves answers and releases the other leads. The
`circuit_breaker` stops claims while the model fails for every lead. `maintenance` periodically sweeps all leads for
changes that left no outbox row, and runs the slices of large replays when a claim's reply reports that some are
waiting. `shutdown` limits the time of a shutdown. `on_demand` scores the leads of on-demand requests: they share the
slots, but nothing is leased. `engine` wires the parts; `context` contains what all of them use, `timing` every
duration, and `health` what keeps the engine from working.

States of a lead in this process (those of its job are in the migrations):

    claimed ── waiting for a slot ── working ── waiting to be saved ──────── saved, unwanted, refused, gone
                        └───────────────┴────── waiting to be released ───── retry, returned, dead
    at any moment ────────────────────────────────────────────────────────── lease lost: dropped, nothing is written

To keep the slots full, a few leads are claimed ahead: as many as slots will probably become free within half a second.
A lead that waits for a slot is leased and renewed like the others. It begins as soon as a slot is free, fresh leads
first. It is returned, and no attempt is spent, if that takes too long, at a shutdown, and if everything is paused.

The database decides which leads are leased, by which process and in which order; when a lease expires; how many
attempts are left; whether a result is still wanted; which keys are healthy; and when the next claim makes sense. This
process remembers nothing that the next claim would not return: the queue is Postgres, and memory does not grow with it.

Local time decides when to claim, renew, save and retry, and whether a model call may start. A call may start only while
the last confirmation of its lease, dated from when that request was *sent*, is younger than the start limit. Local
time never decides that a lease is ours or has expired. Only the database's clock does: a lead that could not be
renewed for an hour is still saved if no other process has claimed it.

After a crash, nothing is lost. The leases expire, and the next claim of any process leases the leads again; no attempt
is spent. Model answers that reached the database with a renewal are not bought again; the others are. A request whose
outcome is unknown is repeated unchanged: a claim with the same token returns the same leads; renewals, saves and
releases carry the fence.

The fence: every lease has its own number, and every write carries `(lead_id, fence)`. A process whose lease expired
therefore can't write, even if it claimed the same lead again in the meantime: its own older fence is refused like any
other. That is why the code treats a late result like any result. It is sent, and the database answers `saved` or
`lease_lost`.

The order matters in three places. The signal is reset *before* a claim is sent, never after its reply: a webhook that
arrives during the claim may be about a lead that this claim did not see. While a lead is being saved or released, a
renewal's `lease_lost` is ignored: it may only mean that the write came first. And a lease is dropped last of all, so
that renewals continue until the database has given its final answer, also during a shutdown.
"""

from leadhook.engine.context import EngineContext
from leadhook.engine.engine import Engine
from leadhook.engine.health import Health
from leadhook.engine.on_demand import OnDemandLead, TooManyOnDemandError

__all__ = ["Engine", "EngineContext", "Health", "OnDemandLead", "TooManyOnDemandError"]
