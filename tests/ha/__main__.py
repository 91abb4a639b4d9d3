"""The trials: a cluster, two shops on it (through HAProxy, and with several hosts in the URL), a fault in each round.

    network ─► cluster (etcd, Patroni, PostgreSQL, HAProxy) ─► shop × 2 (services, buyers, listener) ─► judge ─► table
"""

import argparse
import itertools
import os
import pathlib
import statistics
import sys
import threading
import time

import network
from cluster import Cluster, program, wait_until
from judge import judge
from shop import WAYS, Buyers, Shop

CALM_S = 4


def switchover(cluster, leader):
    """The primary is stopped in order, and a standby takes its place."""
    candidate = next(name for name in network.NAMES if name != leader)
    body = {"leader": leader, "candidate": candidate}

    def ask():
        answer = cluster.answer(leader, "/switchover", body, timeout=60)
        if not answer or answer[0] != 200:
            print(f"ha: switchover: {answer}", flush=True)

    threading.Thread(target=ask, daemon=True).start()
    return leader, lambda: None


def leader_killed(cluster, leader):
    """SIGKILL for PostgreSQL and Patroni of the primary; they start again after the failover."""
    cluster.kill_database(leader)
    return leader, lambda: cluster.start_patroni(leader)


def machine_gone(cluster, leader):
    """The primary's machine loses its power, with its member of etcd; packets to it vanish."""
    network.power_off(leader)
    return leader, lambda: cluster.power_on(leader)


def machine_cut_off(cluster, leader):
    """The network drops all packets of the primary's machine, which goes on by itself."""
    network.cut_off(leader)
    return leader, lambda: network.connect(leader)


def etcd_gone(cluster, _leader):
    """SIGKILL for the leading member of etcd."""
    member = wait_until(cluster.etcd_leader, "etcd has a leader")
    cluster.kill_etcd(member)
    return None, lambda: cluster.start_etcd(member)


def standby_gone(cluster, leader):
    """The machine of a standby loses its power, with its member of etcd."""
    standby = cluster.standbys(leader)[0]
    network.power_off(standby)
    return None, lambda: cluster.power_on(standby)


def standby_behind(cluster, leader):
    """A standby falls behind; then the primary's machine loses its power, and Patroni of the other standby stops for a
    while. Two failures: only a Patroni that knows which standbys confirmed commits waits for the other one."""
    behind, other = cluster.standbys(leader)
    network.cut_off(behind)
    # Less than maximum_lag_on_failover, which would also keep this standby from being promoted.
    time.sleep(2)
    network.power_off(leader)
    network.kill([pid for pid in network.processes(other) if program(pid).startswith("python")])
    network.connect(behind)
    threading.Timer(45, cluster.start_patroni, [other]).start()
    return leader, lambda: cluster.power_on(leader)


# Kinds that are tried by default; the others are tried only by name.
USUAL = {
    "switchover": switchover,
    "leader-killed": leader_killed,
    "machine-gone": machine_gone,
    "etcd-gone": etcd_gone,
}
KINDS = USUAL | {
    "machine-cut-off": machine_cut_off,
    "standby-gone": standby_gone,
    "standby-behind": standby_behind,
}
COLUMNS = ["kind", "round", "way", "promoted s", "downtime s", "purchases", "completed", "sent again"]
COLUMNS += ["lost", "doubled", "audit", "events missed", "twice", "gaps"]


def arguments():
    parser = argparse.ArgumentParser(prog="tests/ha.sh")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; by default {', '.join(USUAL)}")
    parser.add_argument("--program", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind")
    parser.add_argument("--buyers", type=int, default=8, help="of each way to the database")
    parser.add_argument("--ways", default=",".join(WAYS), help="to the database: %(default)s")
    parser.add_argument(
        "--synchronous",
        choices=["any", "quorum", "patroni", "off"],
        default="any",
        help="any: ANY 1 of the standbys; quorum (Patroni 4) and patroni: its synchronous_mode; off: asynchronous",
    )
    parser.add_argument("--patroni", default="/usr/bin/patroni", help="program: %(default)s")
    parser.add_argument("--minutes", type=float, default=29, help="the trial fails if it takes longer")
    given = parser.parse_args()
    for name, known in ((given.kinds, KINDS), (given.ways.split(","), WAYS)):
        unknown = [one for one in name if one not in known]
        if unknown:
            parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return given


def run_round(cluster, shops, kind, number, buyers_each):
    wait_until(cluster.is_whole, "the cluster has two standbys")
    buyers = [Buyers(shop, f"{kind}-{number}", buyers_each) for shop in shops]
    time.sleep(CALM_S)
    leader = cluster.leader()
    began = time.monotonic()
    old, heal = KINDS[kind](cluster, leader)
    promoted = None
    if old:
        others = [name for name in network.NAMES if name != old]
        wait_until(lambda: cluster.leader(others), "another server is promoted")
        promoted = time.monotonic() - began
    else:
        # Longer than Patroni's lock lives.
        time.sleep(22)
    # Buyers must get on without the machine that is missing.
    back = time.monotonic()
    try:
        wait_until(lambda: all(each.has_completed_since(back) for each in buyers), "purchases go on", 180)
    except TimeoutError as error:
        print(f"ha: {error}", flush=True)
    time.sleep(2)
    heal()
    wait_until(cluster.is_whole, "the machine is a standby again")
    time.sleep(CALM_S)
    for each in buyers:
        each.stop()
    found = []
    for shop, each in zip(shops, buyers, strict=True):
        verdict = judge(cluster, shop, each)
        found.append((kind, number, shop.way, promoted, each.longest_gap(), verdict))
    return found


def cells(row):
    kind, number, way, promoted, downtime, verdict = row
    shown = [kind, number, way, "" if promoted is None else f"{promoted:.1f}", f"{downtime:.1f}", verdict.purchases]
    shown += [verdict.completed, verdict.repeated, verdict.lost, verdict.doubled, verdict.audit]
    return [str(cell) for cell in [*shown, verdict.missed, verdict.told_twice, verdict.gaps]]


def line(words):
    return "| " + " | ".join(words) + " |"


def summary(results):
    print("\n" + line(["kind", "way", "downtime s: median", "min", "max", "purchases", "lost", "doubled"]), flush=True)
    print(line(["---"] * 8))
    for kind, way in itertools.product(KINDS, WAYS):
        group = [row for row in results if (row[0], row[2]) == (kind, way)]
        if group:
            times = sorted(row[4] for row in group)
            figures = [f"{figure:.1f}" for figure in (statistics.median(times), times[0], times[-1])]
            counts = [str(sum(getattr(row[5], name) for row in group)) for name in ("purchases", "lost", "doubled")]
            print(line([kind, way, *figures, *counts]), flush=True)


def load():
    return f"load average {os.getloadavg()[0]:.1f}"


def main():
    given = arguments()
    deadline = time.monotonic() + given.minutes * 60
    network.set_up()
    cluster = Cluster(given.folder, given.patroni, given.synchronous)
    cluster.start()
    shops = [Shop(str(given.program), given.folder, way) for way in given.ways.split(",")]
    for shop in shops:
        shop.start()
    print(f"ha: replication: {given.synchronous}, {cluster.protocol}; {load()}", flush=True)
    print(line(COLUMNS), flush=True)
    print(line(["---"] * len(COLUMNS)), flush=True)
    results = []
    for number, kind in itertools.product(range(1, given.rounds + 1), given.kinds or USUAL):
        if time.monotonic() > deadline:
            summary(results)
            sys.exit(f"ha: not finished within {given.minutes} minutes")
        rows = run_round(cluster, shops, kind, number, given.buyers)
        results += rows
        for row in rows:
            print(line(cells(row)), flush=True)
            for finding in row[5].findings[:10]:
                print(f"ha: {finding}", flush=True)
    summary(results)
    print(f"ha: {load()}", flush=True)
    if not all(row[5].is_good() for row in results):
        sys.exit("ha: something was lost, doubled or not reported")


main()
