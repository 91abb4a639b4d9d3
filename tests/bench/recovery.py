"""Time from the restart after kill -9 to the end of ten thousand unfinished sagas."""

import time

import in_flight
import measure

SAGAS = 10_000
# Long enough that no saga ends before the kill.
LATENCY_S = 120


def run(bench):
    sagas, runs = bench.size(SAGAS), []
    for _ in range(bench.runs):
        slow = in_flight.settings(bench, sagas, LATENCY_S)
        with bench.system(**slow) as system:
            in_flight.accept(bench, system, sagas)
            system.kill()
        unfinished = measure.running(bench)
        began = time.monotonic()
        with bench.system(fresh=False) as system:
            while measure.running(bench):
                if time.monotonic() - began > 300:
                    raise SystemExit(f"bench: {measure.running(bench)} of {unfinished} sagas do not end")
                time.sleep(0.05)
            seconds = time.monotonic() - began
        completed = int(bench.postgres.value("select count(*) from saga where status = 'COMPLETED'", "ms_orchestrator"))
        print(f"{unfinished:,} sagas ended {seconds:.2f} s after the restart began, {completed:,} of them completed", flush=True)
        runs.append({"unfinished": unfinished, "seconds": seconds, "completed": completed})
    return measure.medians(runs)
