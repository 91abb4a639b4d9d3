"""The benchmark: starts PostgreSQL and the system, measures them, and writes results, tables and plots.

    postgres ─┐
    system  ──┼─► measure (load: wrk; processes: CPU, memory; postgres: commits, flushes) ─► report, plots
    pgbench ──┘
One file per mode; a mode is a function from a Bench to a JSON value. Every figure is the median of several runs with the
smallest and the largest. Compared variants run in turn, so that a machine that slows down slows both.
"""

import argparse
import json
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

import compare
import failures
import finished
import in_flight
import plots
import products
import recovery
import replicas
import report
import throughput
from bench import Bench
from postgres import Postgres

MODES = {
    "throughput": throughput.run,
    "layouts": compare.layouts,
    "failures": failures.run,
    "products": products.run,
    "replicas": replicas.run,
    "finished": finished.run,
    "in-flight": in_flight.run,
    "recovery": recovery.run,
}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench.sh")
    parser.add_argument("modes", nargs="*", metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--program", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement; the median counts")
    parser.add_argument("--connections", help="1,16,64,256,1024 by default; 1,64,256 in layouts and with --against")
    parser.add_argument("--data-dir", type=pathlib.Path, help="on the disk that is to be measured; a folder in /tmp otherwise")
    parser.add_argument("--against", type=pathlib.Path, metavar="PROGRAM", help="only compares with another build, in turns")
    parser.add_argument("--pairs", type=int, default=8, help="of turns, in layouts and with --against")
    parser.add_argument("--quick", action="store_true", help="two seconds a point, one run, small numbers: only shows that it works")
    given = parser.parse_args()
    unknown = [mode for mode in given.modes if mode not in MODES]
    if unknown:
        parser.error(f"no such mode: {', '.join(unknown)}; there are {', '.join(MODES)}")
    return given


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"processors": names, "kernel": platform.release(), "python": platform.python_version()}


def main():
    given = arguments()
    # Treat SIGTERM like Ctrl-C, so that all started processes are ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    given.results.mkdir(parents=True, exist_ok=True)
    results = {"commit": commit, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine()}
    results |= {"seconds": given.seconds, "runs": given.runs, "quick": given.quick}
    with tempfile.TemporaryDirectory(prefix="ecommerce-bench.", dir=given.data_dir) as folder:
        folder = pathlib.Path(folder)
        # PostgreSQL may run as another account.
        folder.chmod(0o755)
        with Postgres(folder) as postgres:
            results["postgresql"] = postgres.version
            bench = Bench(given, postgres, folder)
            if given.against:
                results["compare"] = compare.builds(bench, given.against)
                (given.results / "compare.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                return
            for mode in given.modes or MODES:
                print(f"\n== {mode} ==", flush=True)
                results[mode] = MODES[mode](bench)
                # After every mode, so that a failing mode does not lose the results of the earlier ones.
                (given.results / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    images = given.results if given.quick else pathlib.Path("docs/images")
    images.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw(results, images)
    print("\n" + report.targets(results))
    print(f"\n{given.results / 'results.json'}; {', '.join(str(path) for path in drawn) or 'no plots'}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
