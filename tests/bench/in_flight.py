"""Fifty thousand concurrent sagas that wait for a slow payment: memory, latency of the status, accuracy of the timers."""

import json
import time
import urllib.request

import load
import measure
import processes

SAGAS = 50_000
LATENCY_S = 60


def settings(bench, sagas, latency_s):
    everything = {"orchestrator__max_running": sagas, "orchestrator__deadline_ms": 600_000}
    everything |= {"participants__max_concurrent": sagas + 1_000, "participants__timeout_ms": 300_000, "http__max_in_flight": sagas + 1_000}
    # An HTTP/2 connection has a limited number of streams.
    everything |= {"participants__connections": 512, "orchestrator__stalled_after_ms": 300_000}
    return everything | latency(latency_s)


def latency(seconds):
    key = "faults__payments__charge__latency_ms"
    return {f"{key}__min": seconds * 1_000, f"{key}__max": seconds * 1_000}


def accept(bench, system, sagas):
    """Buys until this number of sagas run, and returns the seconds. Clients do not wait; beyond the limit they get a 503."""
    began = time.monotonic()
    while measure.running(bench) < sagas:
        if time.monotonic() - began > 300:
            raise SystemExit(f"bench: only {measure.running(bench)} sagas run")
        load.buy(system, 64, 1, headers={"Prefer": "respond-async"})
    return time.monotonic() - began


def run(bench):
    sagas, latency_s = bench.size(SAGAS), 5 if bench.quick else LATENCY_S
    with bench.system("five processes", **settings(bench, sagas, latency_s)) as system:
        orchestrator = system.processes["orchestrator"].pid
        # Fill pools and tables before memory is measured.
        load.run(system.url() + "/health/", 16, 1)
        before = processes.memory_bytes(orchestrator, "VmRSS")
        accepted_s = accept(bench, system, sagas)
        at_once = measure.running(bench)
        during = processes.memory_bytes(orchestrator, "VmRSS")
        query = "select id from saga where ended_at is null limit 1"
        status = load.run(f"{system.url()}/saga/status/{bench.postgres.value(query, 'ms_orchestrator')}", 16, bench.seconds)
        while measure.running(bench):
            time.sleep(0.2)
        drift = """select json_build_object(
                     'p50_s', percentile_cont(0.5) within group (order by late),
                     'p99_s', percentile_cont(0.99) within group (order by late), 'max_s', max(late),
                     'completed', count(*) filter (where status = 'COMPLETED'), 'all', count(*))
                   from (select status, extract(epoch from ended_at - created_at) - {latency} as late from saga) s"""
        results = {
            "at_once": at_once,
            "accepted_s": accepted_s,
            "bytes_each": (during - before) / max(at_once, 1),
            "status": status,
            "late": json.loads(bench.postgres.value(drift.format(latency=latency_s), "ms_orchestrator")),
            "peak_bytes": processes.memory_bytes(orchestrator, "VmHWM"),
        }
        with urllib.request.urlopen(system.url() + "/health/", timeout=10) as answer:
            results["healthy_afterwards"] = answer.status == 200
    late = results["late"]
    print(f"{at_once:,} at once, {results['bytes_each'] / 1e3:.1f} kB each; status p99 {status['p99_us'] / 1e3:.1f} ms;")
    print(f"ended {late['p50_s']:.2f} s (p99 {late['p99_s']:.2f} s) after their {latency_s} s; {late['completed']:,} of {late['all']:,} completed")
    return results
