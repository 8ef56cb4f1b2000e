"""The story of a lead while this process holds it. Read this first.

The parts: a webhook rings the `doorbell`. The `worker` claims a batch whenever the `agenda` names a reason and a slot
is free, enters it in the `book` and starts an `attempt` for each lead. The `keeper` renews the leases meanwhile. The
`writers` save what was answered and release what was not. The `circuit_breaker` stops the claims while the model
fails. The `sweeper` walks through everything now and then, for what no touch told of. The `shutdown` ends it all in
bounded time. What a person wants judged at once are `errands`: they take the same way, but begin with their names.
Beside all this, and only when a claim's reply tells of work for them, the `filler` goes on with large replays, and the

States of a lead here (the database's own are in its migrations):

    claimed ── working ── waiting to be saved ──────── saved, unwanted, refused, gone
                 │   └─── waiting to be released ───── retry, returned, dead
                 └─ at any moment ──────────────────── lease lost: dropped, nothing is written

What the database decides: which leads are handed out, to whom and in which order; until when a lease lasts; how many
attempts are left; whether a result is still wanted; which keys are healthy; when it is worth asking again. This
process remembers nothing that the next claim would not tell it: the queue is Postgres, and memory does not grow
with it.

What local time may decide: when to ask, renew, save and repeat; and whether a model call may start, which it may only
while the last confirmation of its lease, dated from when that request was *sent*, is younger than the start limit.
Local time never decides that a lease is ours or over. Only the database's clock does: a lead that could not be
renewed for an hour is still saved if nobody else has claimed it.

What happens on a crash: nothing is lost. The leases run out, and the next claim of anybody hands the leads out again;
no attempt is spent. What was bought and had reached the database with a renewal is not bought again; what had not is
the price of a crash. A request whose outcome is unknown is repeated as it was: a claim with the same token returns the
same leads; renewals, saves and releases carry the fence.

What the fence forbids: every lease has a number of its own, and every write carries `(lead_id, fence)`. So a process
that slept through its lease can't write, nor can one that meanwhile claimed the same lead again: its own older fence is
refused like anybody else's. That is why nothing here tries to be clever about a late result. It is sent, and the
database says `saved` or `lease_lost`.

Three orders that matter. The bell is silenced *before* a claim is sent, never after its reply: a ring during the claim
may tell of a lead that this claim did not see. Of a lead whose save or release is under way, the renewal's `lease_lost`
is ignored: it may only mean that the write came first. And a lead leaves the book last of all, so that renewals go on
until the database has had its last word, in a shutdown too.
"""

from leadhook.engine.engine import Engine
from leadhook.engine.errands import Errand, TooManyErrandsError
from leadhook.engine.health import Health

__all__ = ["Engine", "Errand", "Health", "TooManyErrandsError"]
