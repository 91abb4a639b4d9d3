"""Compares the answers to buyers and the events of listeners with the databases of the primary."""

import dataclasses
import json
import time

from shop import Client, buy

EVENTS_S = 20
REPEATS = 50


@dataclasses.dataclass
class Verdict:
    purchases: int = 0
    completed: int = 0
    # Requests that had to be sent again.
    repeated: int = 0
    lost: int = 0
    doubled: int = 0
    audit: str = ""
    # Ends without an event, with more than one, and events such as `gap`.
    missed: int = 0
    told_twice: int = 0
    gaps: int = 0
    findings: list = dataclasses.field(default_factory=list)

    def is_good(self):
        return self.audit == "clean" and not (self.lost or self.doubled or self.missed or self.told_twice or self.gaps)


def rows(cluster, database, query, *values):
    connection = cluster.connection(cluster.leader(), database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()
    finally:
        connection.close()


def judge(cluster, shop, buyers):
    """The buyers have stopped, so every purchase has its end."""
    told = buyers.purchases
    verdict = Verdict(purchases=len(told), repeated=sum(purchase.requests - 1 for purchase in told))
    users = sorted({purchase.user for purchase in told})
    log = "select id::text, status, idempotency_key from saga where user_id = any(%s)"
    stored = rows(cluster, shop.databases["orchestrator"], log, users)
    sagas = {identity: (status, key) for identity, status, key in stored}
    captured = live(cluster, shop.databases["payments"], "app_payment", users)
    bought = live(cluster, shop.databases["purchases"], "app_purchase", users)

    completed = set()
    for purchase in told:
        fault = find_fault(purchase, sagas, captured, bought)
        if fault:
            verdict.lost += 1
            verdict.findings.append(f"lost: key {purchase.key}, {purchase.accepted} {purchase.end}: {fault}")
        if purchase.end == "COMPLETED":
            completed.add(purchase.accepted)
    verdict.completed = len(completed)
    for name, found in (("payment", captured), ("purchase", bought)):
        extra = [identity for identity, count in found.items() if count > 1 or identity not in completed]
        verdict.doubled += len(extra)
        verdict.findings += [f"doubled: a {name} of no reported purchase: {identity}" for identity in extra]
    repeat(shop, told, verdict)
    audit(shop, verdict)
    hear(shop, told, verdict)
    return verdict


def live(cluster, database, table, users):
    query = f"""select transaction_id, count(*) from {table}
        where user_id = any(%s) and status = 'success' group by transaction_id"""
    return dict(rows(cluster, database, query, users))


def find_fault(purchase, sagas, captured, bought):
    if purchase.trouble:
        return purchase.trouble
    if purchase.end is None:
        return "no end"
    row = sagas.get(purchase.accepted)
    if row is None:
        return "not in the saga log"
    if row != (purchase.end, purchase.key):
        return f"the saga log has {row}"
    is_live = (purchase.accepted in captured, purchase.accepted in bought)
    if is_live != (purchase.end == "COMPLETED",) * 2:
        return f"payment and purchase are live: {is_live}"
    return None


def repeat(shop, told, verdict):
    """Sends keys again, those of purchases with the most requests first: the answer must be the same."""
    client = Client(shop.ports["orchestrator"])
    for purchase in sorted(told, key=lambda purchase: -purchase.requests)[:REPEATS]:
        again = type(purchase)(purchase.user)
        again.key = purchase.key
        buy(client, again)
        if (again.accepted, again.end) != (purchase.accepted, purchase.end):
            verdict.doubled += 1
            was, now = (purchase.accepted, purchase.end), (again.accepted, again.end)
            verdict.findings.append(f"doubled: key {purchase.key} was answered {was}, then {now} {again.trouble or ''}")


def audit(shop, verdict):
    result = shop.run("audit", "--settled", "--json")
    try:
        verdict.audit = "clean" if result.returncode == 0 and json.loads(result.stdout)["clean"] else "broken"
    except (ValueError, KeyError):
        verdict.audit = "none"
    if verdict.audit != "clean":
        verdict.findings.append(f"audit: exit {result.returncode}: {result.stdout[:3000]}{result.stderr[-3000:]}")


def hear(shop, told, verdict):
    ends = [purchase.accepted for purchase in told if purchase.end]
    end = time.monotonic() + EVENTS_S
    while time.monotonic() < end and not all(shop.events.ends[identity] for identity in ends):
        time.sleep(0.1)
    verdict.missed = sum(shop.events.ends[identity] == 0 for identity in ends)
    verdict.told_twice = sum(shop.events.ends[identity] > 1 for identity in ends)
    others = dict(shop.events.others)
    verdict.gaps = sum(others.values())
    if verdict.missed or verdict.told_twice or verdict.gaps:
        verdict.findings.append(f"events: {verdict.missed} missed, {verdict.told_twice} twice, {others}")
    # Gaps count for the round in which they were reported.
    shop.events.others.clear()
