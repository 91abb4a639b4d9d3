"""Two builds side by side, each with a PostgreSQL of its own, under load in turns.

Both stay up for a whole layout, so that a turn is short and the machine has no time to change between the two. A pair of
turns during which other programs used more than a few per cent of the machine counts for nothing and is repeated.
"""

import contextlib
import os
import pathlib
import resource
import statistics
import types

import load
import measure
import processes
from postgres import DATABASES, Postgres
from system import System
from throughput import LAYOUTS

NAMES = ("other", "this")
TURN_S = 2
WARM_UP_S = 1
# Of the whole machine.
OTHERS_AT_MOST = 0.06
# A machine that others use all the time gives no pairs.
TRIES_PER_PAIR = 3


def run(bench, other, pairs):
    results = {}
    programs = dict(zip(NAMES, (other.resolve(), bench.program.resolve()), strict=True))
    for layout in LAYOUTS:
        with contextlib.ExitStack() as stack:
            systems = {name: stack.enter_context(started(bench, name, program, layout)) for name, program in programs.items()}
            for system in systems.values():
                measure.warm_up(bench, system)
            for connections in bench.connections:
                found = results[f"{layout}, {connections} connections"] = compared(systems, connections, pairs)
                print(table(f"{layout}, {connections} connections", found), flush=True)
    return results


@contextlib.contextmanager
def started(bench, name, program, layout):
    """A build with a server of its own. Its folder has no config, so each build uses the one that it contains."""
    folder = bench.folder / f"{name}-{layout.replace(' ', '-')}"
    folder.mkdir()
    folder.chmod(0o755)
    with Postgres(folder) as postgres:
        own = types.SimpleNamespace(program=program, folder=folder, postgres=postgres)
        before = pathlib.Path.cwd()
        os.chdir(folder)
        try:
            with System(own, layout, {}) as system:
                yield system
        finally:
            os.chdir(before)


def compared(systems, connections, pairs):
    """The figures of each build, and their ratios pair by pair."""
    kept, dropped = [], 0
    while len(kept) < pairs and len(kept) + dropped < pairs * TRIES_PER_PAIR:
        order = NAMES if (len(kept) + dropped) % 2 == 0 else NAMES[::-1]
        pair = {name: turn(systems[name], connections, systems.values()) for name in order}
        if any(figures["others"] > OTHERS_AT_MOST for figures in pair.values()):
            dropped += 1
        else:
            kept.append(pair)
    if not kept:
        raise SystemExit(f"bench: other programs use more than {OTHERS_AT_MOST:.0%} of the machine all the time")
    figures = ("per_s", "p50_us", "cpu_us")
    ratios = [{figure: measure.share(pair["this"][figure], pair["other"][figure]) for figure in figures} for pair in kept]
    return {
        "pairs": len(kept),
        "dropped": dropped,
        "ratio": measure.medians(ratios),
        "per_s": {name: statistics.median(pair[name]["per_s"] for pair in kept) for name in NAMES},
        "cpu_us": {name: medians([pair[name]["cpu_us_of"] for pair in kept]) for name in NAMES},
    }


def turn(system, connections, systems):
    """One build under load: its rate, and the CPU microseconds a purchase of each process and database."""
    load.buy(system, connections, WARM_UP_S)
    before, busy = costs(system), busy_s()
    ours = own_s(systems)
    figures = load.buy(system, connections, TURN_S)
    after, requests = costs(system), max(figures["requests"], 1)
    others = max(0.0, busy_s() - busy - (own_s(systems) - ours)) / (TURN_S * os.cpu_count())
    used = {name: max(0.0, after[name] - before.get(name, 0.0)) * 1e6 / requests for name in after}
    return {"per_s": figures["per_s"], "p50_us": figures["p50_us"], "cpu_us": sum(used.values()), "cpu_us_of": used, "others": others}


def costs(system):
    """CPU seconds of each process, and of PostgreSQL's by database."""
    used = {name: processes.cpu_s(process.pid) for name, process in system.processes.items()}
    server = system.bench.postgres.server.pid
    used |= {f"postgresql {name}": 0.0 for name in DATABASES}
    used["postgresql itself"] = processes.cpu_s(server)
    for child in processes.children(server):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            title = pathlib.Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8", errors="replace")
            database = next((name for name in DATABASES if f" {name} " in title), "itself")
            used[f"postgresql {database}"] += processes.cpu_s(child)
    return used


def busy_s():
    """Seconds that all processors have worked since the start of the machine; waiting is no work."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _wait, *interrupts = map(int, file.readline().split()[1:])
    return (user + nice + system + sum(interrupts[:2])) / processes.TICKS_PER_S


def own_s(systems):
    """CPU seconds of everything that belongs to the benchmark: both systems and servers, and the load so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    itself = resource.getrusage(resource.RUSAGE_SELF)
    return ended.ru_utime + ended.ru_stime + itself.ru_utime + itself.ru_stime + sum(sum(costs(system).values()) for system in systems)


def medians(runs):
    return {name: statistics.median(run.get(name, 0.0) for run in runs) for name in runs[0]}


def table(title, found):
    ratio = {figure: f"{s['median']:.3f} ({s['min']:.2f}–{s['max']:.2f})" for figure, s in found["ratio"].items()}
    lines = [
        f"{title}: {found['pairs']} pairs, {found['dropped']} dropped",
        f"  this ÷ other: purchases a second {ratio['per_s']}, p50 {ratio['p50_us']}, CPU a purchase {ratio['cpu_us']}",
        f"  purchases a second: {found['per_s']['this']:.0f}, other {found['per_s']['other']:.0f}",
    ]
    for name in found["cpu_us"]["this"]:
        this, other = (found["cpu_us"][build].get(name, 0.0) for build in ("this", "other"))
        lines.append(f"  {name:<28} {this:7.1f} µs a purchase, other {other:7.1f}")
    return "\n".join(lines)
