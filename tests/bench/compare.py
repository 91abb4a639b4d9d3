"""Two systems side by side, each with a PostgreSQL of its own, under load in turns: two builds, or one build in two layouts.

Both stay up for all measurements, so that a turn is short and the machine has no time to change between the two. A pair of
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

TURN_S = 2
WARM_UP_S = 1
# Of the whole machine.
OTHERS_AT_MOST = 0.06
# A machine that others use all the time gives no pairs.
TRIES_PER_PAIR = 3


def builds(bench, other):
    """This build against another one, in each layout."""
    results, other = {}, other.resolve()
    for layout in LAYOUTS:
        systems = {"this": (bench.program, layout), "other": (other, layout)}
        results |= {f"{layout}, {of}": found for of, found in side_by_side(bench, systems, f"{layout}, ").items()}
    return results


def layouts(bench):
    """One process against five."""
    return side_by_side(bench, {layout: (bench.program, layout) for layout in ("one process", "five processes")})


def side_by_side(bench, systems, title=""):
    """The first system, a program and its layout by name, compared with the second one for each number of connections."""
    results = {}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(started(bench, name, *how)) for name, how in systems.items()}
        for system in running.values():
            measure.warm_up(bench, system)
        for connections in bench.compared_connections:
            of = f"{connections} connections"
            found = results[of] = compared(running, connections, bench.pairs)
            print(table(title + of, found), flush=True)
    return results


@contextlib.contextmanager
def started(bench, name, program, layout):
    """A build with a server of its own. Its folder has no config, so each build uses the one that it contains."""
    folder = bench.folder / f"{name}-{layout}".replace(" ", "-")
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
    """The figures of each system, and their ratios pair by pair."""
    names, kept, dropped = list(systems), [], 0
    first, second = names
    while len(kept) < pairs and len(kept) + dropped < pairs * TRIES_PER_PAIR:
        order = names if (len(kept) + dropped) % 2 == 0 else names[::-1]
        pair = {name: turn(systems[name], connections, systems.values()) for name in order}
        if any(figures["others"] > OTHERS_AT_MOST for figures in pair.values()):
            dropped += 1
        else:
            kept.append(pair)
    if not kept:
        raise SystemExit(f"bench: other programs use more than {OTHERS_AT_MOST:.0%} of the machine all the time")
    figures = ("per_s", "p50_us", "cpu_us")
    ratios = [{figure: measure.share(pair[first][figure], pair[second][figure]) for figure in figures} for pair in kept]
    return {
        "pairs": len(kept),
        "dropped": dropped,
        "ratio": measure.medians(ratios),
        "per_s": {name: statistics.median(pair[name]["per_s"] for pair in kept) for name in names},
        "cpu_us": {name: medians([pair[name]["cpu_us_of"] for pair in kept]) for name in names},
    }


def turn(system, connections, systems):
    """One system under load: its rate, and the CPU microseconds a purchase of each process and database."""
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
    (first, cpu), (second, other_cpu) = found["cpu_us"].items()
    lines = [
        f"{title}: {found['pairs']} pairs, {found['dropped']} dropped",
        f"  {first} ÷ {second}: purchases a second {ratio['per_s']}, p50 {ratio['p50_us']}, CPU a purchase {ratio['cpu_us']}",
        f"  purchases a second: {found['per_s'][first]:.0f}, {second} {found['per_s'][second]:.0f}",
    ]
    for name in dict.fromkeys([*cpu, *other_cpu]):
        lines.append(f"  {name:<28} {cpu.get(name, 0.0):7.1f} µs a purchase, {second} {other_cpu.get(name, 0.0):7.1f}")
    return "\n".join(lines)
