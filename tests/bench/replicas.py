"""Sagas a second by number of orchestrators, all on this machine; the connections are split among them."""

import load
import measure
import report

REPLICAS = [1, 2, 3]
CONNECTIONS = 255


def run(bench):
    runs = {replicas: [] for replicas in REPLICAS}
    for _ in range(bench.runs):
        for replicas in REPLICAS:
            with bench.system("five processes") as system:
                urls = [system.url(), *(system.add_orchestrator() for _ in range(replicas - 1))]
                buy(urls, bench.warm_up_seconds)
                measure.settle(bench)
                figures = measure.spend(bench, system, lambda urls=urls: buy(urls, bench.seconds))
                runs[replicas].append(figures)
                print(report.line(f"{replicas} orchestrators", figures), flush=True)
    return {replicas: measure.medians(found) for replicas, found in runs.items()}


def buy(urls, seconds):
    share = CONNECTIONS // len(urls)
    started = [load.start(url + "/saga/transaction", share, seconds, method="POST") for url in urls]
    all_of = [load.finish(one) for one in started]
    added = {name: sum(one[name] for one in all_of) for name in ["requests", "per_s", "other_status", "failed"]}
    # Percentiles cannot be added, so take those of the slowest orchestrator.
    return added | {name: max(one[name] for one in all_of) for name in ["p50_us", "p99_us", "max_us", "duration_us"]}
