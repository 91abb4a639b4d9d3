"""One measurement: load on a system, and its cost in each process."""

import os
import statistics
import time

import load
import processes


def costs(bench, system):
    """CPU seconds used by each process, PostgreSQL with all of its children, and the server's counters."""
    cpu = {name: processes.cpu_s(process.pid) for name, process in system.processes.items()}
    cpu["postgresql"] = processes.cpu_s(bench.postgres.server.pid, with_children=True)
    return cpu, bench.postgres.counters()


def spend(bench, system, work):
    """Runs work that returns wrk's figures, and adds the cost per request."""
    cpu_before, counted_before = costs(bench, system)
    figures = work()
    cpu_after, counted_after = costs(bench, system)
    requests = max(figures["requests"], 1)
    figures["cpu_ms"] = {name: (cpu_after[name] - cpu_before[name]) * 1e3 / requests for name in cpu_after}
    figures["cpu_ms_all"] = sum(figures["cpu_ms"].values())
    for name in counted_after:
        figures[f"{name}_each"] = (counted_after[name] - counted_before[name]) / requests
    return figures


def running(bench):
    return int(bench.postgres.value("select count(*) from saga where ended_at is null", "ms_orchestrator"))


def settle(bench):
    """Waits until earlier loads leave no unfinished saga and no dirty page in the kernel's cache.

    The kernel writes pages that are half a minute old in one go; on some disks that blocks flushes of the log.
    """
    end = time.monotonic() + 60
    while running(bench):
        if time.monotonic() > end:
            raise SystemExit(f"bench: {running(bench)} sagas do not end")
        time.sleep(0.05)
    os.sync()


def sagas(bench, system, connections, seconds=None, **how):
    """Purchases in a closed loop."""
    settle(bench)
    return spend(bench, system, lambda: load.buy(system, connections, seconds or bench.seconds, **how))


def warm_up(bench, system, connections=64, **how):
    load.buy(system, connections, bench.warm_up_seconds, **how)


def peak_memory(system):
    return {name: processes.memory_bytes(process.pid, "VmHWM") for name, process in system.processes.items()}


def medians(runs):
    """The median, smallest and largest of each figure over the runs."""
    first = runs[0]
    if isinstance(first, dict):
        return {name: medians([run[name] for run in runs]) for name in first}
    return {"median": statistics.median(runs), "min": min(runs), "max": max(runs)}


def share(measured, compared):
    """The ratio, or NaN if the measurement was too short to complete a request to compare with."""
    return measured / compared if compared else float("nan")


def pairs(runs, name, compared_with):
    """The medians of runs made in turn, and the ratio of both rates within each turn."""
    ratios = [share(one["per_s"], other["per_s"]) for one, other in zip(runs[name], runs[compared_with], strict=True)]
    return {kind: medians(found) for kind, found in runs.items()} | {"ratio": medians(ratios)}
