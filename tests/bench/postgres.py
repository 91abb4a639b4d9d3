"""A PostgreSQL for the benchmark, with default durability (fsync, synchronous_commit) and enough connections for all."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import time

DATABASES = ["ms_orchestrator", "ms_catalog", "ms_payments", "ms_inventory", "ms_purchases"]

# No setting trades durability for speed. Checkpoints are rare, so that none falls into only one of the compared runs.
SETTINGS = {"max_connections": "300", "max_wal_size": "'8GB'", "checkpoint_timeout": "'30min'", "shared_buffers": "'256MB'"}


def free_ports(count):
    """Distinct free ports: each is held until the last one is found."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port():
    return free_ports(1)[0]


def programs():
    newest = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    for folder in [os.environ.get("ECOMMERCE_PG_BIN"), *reversed(newest)]:
        if folder and (pathlib.Path(folder) / "initdb").exists():
            return pathlib.Path(folder)
    found = shutil.which("initdb")
    if not found:
        raise SystemExit("bench: PostgreSQL's programs are missing; ECOMMERCE_PG_BIN says where they are")
    return pathlib.Path(found).resolve().parent


class Postgres:
    def __init__(self, folder):
        self.bin = programs()
        self.home = folder / "postgres"
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/"
        # PostgreSQL refuses to run as root.
        self.account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.server = None

    def __enter__(self):
        self.home.mkdir()
        if self.account:
            os.chown(self.home, self.account.pw_uid, self.account.pw_gid)
        data = self.home / "data"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value.strip(chr(39))}")]
        options += ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.home}"]
        with open(self.home.parent / "postgres.log", "wb") as log:
            self.server = subprocess.Popen([self.bin / "postgres", "-D", data, *options], stdout=log, stderr=log, **self._as_account())
        for _ in range(300):
            if subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise SystemExit("bench: PostgreSQL does not start:\n" + (self.home.parent / "postgres.log").read_text())
        self.version = self.value("show server_version")
        assert self.value("show fsync") == self.value("show synchronous_commit") == "on"
        return self

    def __exit__(self, *_):
        # SIGINT is PostgreSQL's fast shutdown: it disconnects all sessions.
        self.server.send_signal(2)
        self.server.wait(60)

    def _as_account(self):
        if not self.account:
            return {"cwd": self.home}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": [], "cwd": self.home}

    def _run(self, program, *options):
        done = subprocess.run([self.bin / program, *options], capture_output=True, text=True, check=False, **self._as_account())
        if done.returncode:
            raise SystemExit(f"bench: {program}: {done.stderr}")
        return done.stdout

    def sql(self, statements, database="postgres"):
        done = subprocess.run(
            [self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.url + database],
            input=statements, capture_output=True, text=True, check=False,
        )
        if done.returncode:
            raise SystemExit(f"bench: {statements[:200]}: {done.stderr}")
        return done.stdout.strip()

    def value(self, query, database="postgres"):
        return self.sql(query, database)

    def drop_databases(self):
        for name in DATABASES:
            self.sql(f"drop database if exists {name} with (force)")
        # Write the dirty pages of this system now, so that they do not slow the next one.
        self.sql("checkpoint")

    def counters(self):
        """Commits of all databases, and flushes of the write-ahead log."""
        major = int(re.match(r"\d+", self.version)[0])
        # Up to PostgreSQL 17 pg_stat_wal counts flushes, since 18 pg_stat_io does.
        flushes = "select wal_sync from pg_stat_wal" if major < 18 else "select sum(fsyncs) from pg_stat_io where object = 'wal'"
        commits = self.value("select sum(xact_commit) from pg_stat_database where datname like 'ms_%'")
        return {"commits": int(commits or 0), "flushes": int(self.value(flushes))}

    def durable_inserts(self, clients, seconds):
        """The server's own speed, by pgbench: rows per second, each in its own transaction, and milliseconds per row."""
        self.sql("create table if not exists bench_row (id bigserial primary key, value bigint not null)")
        script = self.home / "insert.sql"
        script.write_text("insert into bench_row (value) values (:client_id);\n", encoding="ascii")
        options = ["-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), "-T", seconds, "-f", script]
        out = self._run("pgbench", *[str(option) for option in options], self.url + "postgres")
        rate = re.search(r"^tps = ([\d.]+)", out, re.M)
        latency = re.search(r"^latency average = ([\d.]+) ms", out, re.M)
        return {"rows_per_s": float(rate[1]), "latency_ms": float(latency[1])}
