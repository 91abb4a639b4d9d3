"""Sagas a second by connections, in one process and in five, and the figures for the ratios from the same runs."""

import load
import measure
import report

LAYOUTS = ["five processes", "one process"]

# Connections, and the clients of the pgbench run that they are compared with, just before and just after: the machine's
# speed changes within minutes, by more than the effect of a change of the program.
PGBENCH_CLIENTS = {1: 1, 256: 64}
# Short, because a disk may slow down after some ten thousand flushes in a row, which would slow the next measurement.
PGBENCH_S = 2


def run(bench):
    runs = {layout: {connections: [] for connections in bench.connections} for layout in LAYOUTS}
    memory, starts = {layout: [] for layout in LAYOUTS}, {layout: [] for layout in LAYOUTS}
    inserts, health, ratios = {clients: [] for clients in PGBENCH_CLIENTS.values()}, [], []
    for _ in range(bench.runs):
        ratios.append({})
        for layout in LAYOUTS:
            with bench.system(layout) as system:
                measure.warm_up(bench, system)
                for connections in bench.connections:
                    figures, around = beside_pgbench(bench, system, connections)
                    for clients, found in around.items():
                        inserts[clients] += found
                        ratios[-1] |= compared(layout, connections, figures, found)
                    print(report.line(f"{layout}, {connections} connections", figures), flush=True)
                    runs[layout][connections].append(figures)
                memory[layout].append(measure.peak_memory(system))
                if layout == "one process":
                    health.append(bare_request(bench, system))
                    if 256 in bench.connections:
                        a_saga = runs[layout][256][-1]["cpu_ms_all"]
                        ratios[-1]["cpu"] = measure.share(a_saga, health[-1]["cpu_ms"]["ecommerce"])
            # Start time on existing data: from the command to the first answer.
            with bench.system(layout, fresh=False) as system:
                starts[layout].append(system.start_s)
    results = {
        "sagas": {
            layout: {connections: measure.medians(found) for connections, found in by_connections.items()}
            for layout, by_connections in runs.items()
        },
        "peak_memory_bytes": {layout: measure.medians(found) for layout, found in memory.items()},
        "start_on_existing_data_s": {layout: measure.medians(found) for layout, found in starts.items()},
        "durable_inserts": {clients: measure.medians(found) for clients, found in inserts.items() if found},
        "health_at_64": measure.medians(health),
        "ratios": measure.medians(ratios),
    }
    print(report.throughput(results))
    return results


def beside_pgbench(bench, system, connections):
    """The figures for these connections, and pgbench's before and after by its clients; {} without a comparison."""
    clients = PGBENCH_CLIENTS.get(connections)
    if not clients:
        return measure.sagas(bench, system, connections), {}
    before = bench.postgres.durable_inserts(clients, PGBENCH_S)
    # Warm up again: the system has been idle during pgbench, and the disk is still busy.
    measure.warm_up(bench, system, connections)
    figures = measure.sagas(bench, system, connections)
    return figures, {clients: [before, bench.postgres.durable_inserts(clients, PGBENCH_S)]}


def compared(layout, connections, figures, inserts):
    """Ratios to the pgbench runs before and after."""
    mean = {name: sum(one[name] for one in inserts) / len(inserts) for name in inserts[0]}
    if connections == 1:
        return {f"latency, {layout}": measure.share(figures["p50_us"] / 1e3, mean["latency_ms"])}
    return {
        f"throughput, {layout}": measure.share(figures["per_s"], mean["rows_per_s"]),
        f"tail, {layout}": measure.share(figures["p99_us"], figures["p50_us"]),
    }


def bare_request(bench, system):
    """The cost of a request without work."""
    return measure.spend(bench, system, lambda: load.run(system.url() + "/health/live/", 64, bench.seconds))
