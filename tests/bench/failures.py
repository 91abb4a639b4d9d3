"""Sagas a second when every step refuses half of its purchases, against no refusals."""

import measure
import report

STEPS = ["payments__charge", "inventory__decrease", "purchases__create"]
CONNECTIONS = 256


def run(bench):
    runs = {"none": [], "half": []}
    for _ in range(bench.runs):
        for name, rate in [("none", 0.0), ("half", 0.5)]:
            settings = {f"faults__{step}__failure_rate": rate for step in STEPS}
            with bench.system(**settings) as system:
                measure.warm_up(bench, system)
                runs[name].append(measure.sagas(bench, system, CONNECTIONS))
                print(report.line(f"{name} refused", runs[name][-1]), flush=True)
    return measure.pairs(runs, "half", "none")
