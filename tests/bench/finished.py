"""The cost of a million finished sagas in the log: purchases, the list, the status, and the plans of the statements."""

import json
import urllib.request

import load
import measure
import report

FINISHED = 1_000_000
CONNECTIONS = 256

# Copies of one completed saga, each with an id (UUID v7) that sorts by its made-up time of creation.
FILL = """
insert into saga ({columns}, id, begin_nonce, user_id, created_at, ended_at)
select {values}, i.id, gen_random_uuid(), 'user-' || n % 10000, t.at, t.at + interval '20 milliseconds'
from generate_series(1, {wanted}) n
cross join lateral (select now() - interval '30 days' + n * interval '2 seconds' as at) t
cross join lateral (select (lpad(to_hex((extract(epoch from t.at) * 1000)::bigint), 12, '0') || '7'
                            || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid as id) i
cross join (select * from saga where status = 'COMPLETED' limit 1) s;
vacuum analyze saga;
"""
OWN = ["id", "begin_nonce", "user_id", "created_at", "ended_at", "idempotency_key"]

PLANS = {
    "status": "select * from saga where id = (select id from saga limit 1)",
    "newest": "select id from saga order by id desc limit 100",
    "newest of a user": "select id from saga where user_id = 'user-77' order by id desc limit 100",
    "newest failed": "select id from saga where status = 'FAILED' order by id desc limit 100",
    "unfinished by owner": "select owner_node from saga_open where ended_at is null order by owner_incarnation limit 1",
}


def run(bench):
    runs = {"none": [], "many": []}
    results = {"finished": bench.size(FINISHED)}
    for _ in range(bench.runs):
        with bench.system() as system:
            measure.warm_up(bench, system)
            runs["none"].append(measure.sagas(bench, system, CONNECTIONS))
            print(report.line("fresh log", runs["none"][-1]), flush=True)
            fill(bench)
            # Write all dirty pages before the measurement.
            bench.postgres.sql("checkpoint")
            measure.warm_up(bench, system)
            runs["many"].append(measure.sagas(bench, system, CONNECTIONS))
            print(report.line(f"{results['finished']:,} finished", runs["many"][-1]), flush=True)
            results["reads"] = reads(bench, system)
            plan = lambda query: json.loads(bench.postgres.value(f"explain (analyze, format json) {query}", "ms_orchestrator"))
            results["plans"] = {name: plan(query)[0] for name, query in PLANS.items()}
        with bench.system(fresh=False) as system:
            results["start_s"] = system.start_s
    for name, figures in results["reads"].items():
        print(f"{name}: p50 {figures['p50_us'] / 1e3:.2f} ms, p99 {figures['p99_us'] / 1e3:.2f} ms")
    print(f"start: {results['start_s']:.2f} s")
    return results | measure.pairs(runs, "many", "none")


def fill(bench):
    listed = """select string_agg(quote_ident(column_name), ',' order by ordinal_position) from information_schema.columns
                where table_name = 'saga' and column_name <> all(array[{own}])"""
    own = ", ".join(f"'{name}'" for name in OWN)
    columns = bench.postgres.value(listed.format(own=own), "ms_orchestrator")
    values = ",".join(f"s.{name}" for name in columns.split(","))
    bench.postgres.sql(FILL.format(columns=columns, values=values, wanted=bench.size(FINISHED)), "ms_orchestrator")


def reads(bench, system):
    """Latency of reads, with one client."""
    with urllib.request.urlopen(system.url() + "/saga/transactions?limit=1", timeout=30) as answer:
        newest = json.load(answer)["transactions"][0]["transaction_id"]
    oldest = bench.postgres.value("select id from saga order by id limit 1", "ms_orchestrator")
    paths = {
        "status of the newest": f"/saga/status/{newest}",
        "status of the oldest": f"/saga/status/{oldest}",
        "list": "/saga/transactions",
        "list of a user": "/saga/transactions?user_id=user-77",
        "list of the failed": "/saga/transactions?status=FAILED",
        "attention": "/saga/attention",
    }
    return {name: load.run(system.url() + path, 1, bench.seconds) for name, path in paths.items()}
