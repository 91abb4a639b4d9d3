"""Sagas a second against connections, in one process and in five; and in the same runs what the ratios need."""

import load
import measure
import report

LAYOUTS = ["one process", "five processes"]


def run(bench):
    runs = {layout: {connections: [] for connections in bench.connections} for layout in LAYOUTS}
    memory, starts = {layout: [] for layout in LAYOUTS}, {layout: [] for layout in LAYOUTS}
    inserts, health = {1: [], 64: []}, []
    for _ in range(bench.runs):
        for clients, found in inserts.items():
            found.append(bench.postgres.durable_inserts(clients, bench.seconds))
        for layout in LAYOUTS:
            with bench.system(layout) as system:
                measure.warm_up(bench, system)
                for connections in bench.connections:
                    figures = measure.sagas(bench, system, connections)
                    print(report.line(f"{layout}, {connections} connections", figures), flush=True)
                    runs[layout][connections].append(figures)
                memory[layout].append(measure.peak_memory(system))
                if layout == "one process":
                    health.append(bare_request(bench, system))
            # The data is there now: from the command to the first answer.
            with bench.system(layout, fresh=False) as system:
                starts[layout].append(system.start_s)
    results = {
        "sagas": {
            layout: {connections: measure.medians(found) for connections, found in by_connections.items()}
            for layout, by_connections in runs.items()
        },
        "peak_memory_bytes": {layout: measure.medians(found) for layout, found in memory.items()},
        "start_on_existing_data_s": {layout: measure.medians(found) for layout, found in starts.items()},
        "durable_inserts": {clients: measure.medians(found) for clients, found in inserts.items()},
        "health_at_64": measure.medians(health),
    }
    print(report.throughput(results))
    return results


def bare_request(bench, system):
    """What a request costs that does nothing."""
    return measure.spend(bench, system, lambda: load.run(system.url() + "/health/live/", 64, bench.seconds))
