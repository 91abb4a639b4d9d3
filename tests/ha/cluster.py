"""PostgreSQL on three machines, each with Patroni and a member of etcd; HAProxy stands on the client's machine.

The settings are those that docs/high-availability.md recommends.
"""

import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import network
import psycopg2

PASSWORD = "password-of-the-trial"
HAPROXY_PORT = 5000
START_S = 120

HAPROXY = """global
  maxconn 2000
defaults
  mode tcp
  retries 2
  timeout connect 2s
  timeout client 30m
  timeout server 30m
  timeout check 1s
listen postgresql
  bind {client}:{port}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def wait_until(condition, what, seconds=START_S):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def postgres_programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent


def etcd_protocol(patroni):
    """Patroni before 3.0.3 overwrites another server's lock after a network split, unless it uses etcd's version 2."""
    shown = subprocess.run([patroni, "--version"], check=True, capture_output=True, text=True).stdout
    version = tuple(int(number) for number in shown.split()[1].split(".")[:3])
    return "etcd3" if version >= (3, 0, 3) else "etcd"


class Cluster:
    def __init__(self, folder, patroni, synchronous):
        self.folder = folder
        self.program = patroni
        self.protocol = etcd_protocol(patroni)
        self.synchronous = synchronous
        self.etcd = {}

    def start(self):
        for name in network.NAMES:
            network.plug_in(name)
            home = self.folder / name
            home.mkdir()
            (home / "patroni.yml").write_text(json.dumps(self.patroni(name), indent=2))
            shutil.chown(home, "postgres", "postgres")
            self.start_etcd(name, "new")
        wait_until(lambda: all(self.etcd_status(name) for name in network.NAMES), "etcd answers")
        for name in network.NAMES:
            self.start_patroni(name)
        wait_until(self.is_whole, "Patroni has a primary and two standbys")
        servers = [f"  server {name} {network.address(name)}:5432 check port 8008" for name in network.NAMES]
        file = self.folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(client=network.CLIENT, port=HAPROXY_PORT, servers="\n".join(servers)))
        log = self.folder / "haproxy.log"
        network.start(["haproxy", "-db", "-f", str(file)], log)
        # HAProxy believes in a server until its first check.
        wait_until(lambda: log.read_text().count("is DOWN") == 2, "HAProxy leads to the primary only")

    def start_etcd(self, name, state="existing"):
        address = network.address(name)
        members = ",".join(f"{each}=http://{network.address(each)}:2380" for each in network.NAMES)
        command = ["etcd", "--name", name, "--data-dir", str(self.folder / name / "etcd"), "--log-level", "warn"]
        command += ["--initial-cluster", members, "--initial-cluster-state", state]
        command += ["--enable-v2"] if self.protocol == "etcd" else []
        command += [f"--initial-advertise-peer-urls=http://{address}:2380", f"--listen-peer-urls=http://{address}:2380"]
        command += [f"--advertise-client-urls=http://{address}:2379", f"--listen-client-urls=http://{address}:2379"]
        self.etcd[name] = network.start(command, self.folder / f"{name}-etcd.log", name)

    def start_patroni(self, name):
        command = [self.program, str(self.folder / name / "patroni.yml")]
        network.start(command, self.folder / f"{name}-patroni.log", name)

    def patroni(self, name):
        address = network.address(name)
        home = self.folder / name
        parameters = {
            "wal_log_hints": "on",
            "max_connections": 200,
            "shared_buffers": "64MB",
            # A standby that follows a new primary looks for it twice a second.
            "wal_retrieve_retry_interval": "500ms",
            # A server never waits for itself, so one value serves each of them as the primary.
            "synchronous_standby_names": "ANY 1 (n1, n2, n3)" if self.synchronous == "any" else "",
        }
        if self.synchronous in ("patroni", "quorum"):
            del parameters["synchronous_standby_names"]
        dynamic = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5, "maximum_lag_on_failover": 1048576}
        # With its own mode Patroni sets synchronous_standby_names, and promotes only a standby that it named there.
        dynamic["synchronous_mode"] = {"patroni": True, "quorum": "quorum"}.get(self.synchronous, False)
        dynamic["synchronous_mode_strict"] = self.synchronous in ("patroni", "quorum")
        dynamic["postgresql"] = {"use_pg_rewind": True, "use_slots": True, "parameters": parameters}
        # A debug build would spend more time on checking passwords than on purchases.
        rules = ["local all all trust", f"host all all {network.CLIENT}/32 trust"]
        rules += ["host all all 10.77.0.0/24 scram-sha-256"]
        rules += ["host replication replicator 10.77.0.0/24 scram-sha-256"]
        return {
            "scope": "shop",
            "name": name,
            "restapi": {"listen": f"{address}:8008", "connect_address": f"{address}:8008"},
            self.protocol: {"hosts": [f"{network.address(each)}:2379" for each in network.NAMES]},
            "bootstrap": {"dcs": dynamic, "initdb": [{"encoding": "UTF8"}, "data-checksums"], "pg_hba": rules},
            "postgresql": {
                "listen": f"{address}:5432",
                "connect_address": f"{address}:5432",
                "data_dir": str(home / "data"),
                "bin_dir": str(postgres_programs()),
                "pgpass": str(home / "pgpass"),
                "use_unix_socket": True,
                "authentication": {
                    "superuser": {"username": "postgres", "password": PASSWORD},
                    "replication": {"username": "replicator", "password": PASSWORD},
                },
                "parameters": {"unix_socket_directories": str(home)},
            },
            # A real machine has one: docs/high-availability.md.
            "watchdog": {"mode": "off"},
        }

    # --- what it looks like ---

    def answer(self, name, path, body=None, timeout=1.0):
        """The status and body of an answer of Patroni, or None."""
        url = f"http://{network.address(name)}:8008{path}"
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(url, data, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, ValueError):
            return None

    def leader(self, among=network.NAMES):
        for name in among:
            answer = self.answer(name, "/primary", timeout=0.5)
            if answer and answer[0] == 200:
                return name
        return None

    def connection(self, name, database="postgres"):
        return psycopg2.connect(
            host=network.address(name), user="postgres", password=PASSWORD, dbname=database, connect_timeout=3
        )

    def standbys(self, leader):
        """The standbys that stream and have received nearly everything; one that commits wait for comes last."""
        streaming = """select application_name from pg_stat_replication where state = 'streaming'
            and pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) < 1048576 order by sync_state = 'sync'"""
        connection = self.connection(leader)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(streaming)
                return [name for (name,) in cursor.fetchall()]
        finally:
            connection.close()

    def is_whole(self):
        leader = self.leader()
        try:
            return leader is not None and len(self.standbys(leader)) == 2
        except psycopg2.Error:
            return False

    def etcd_status(self, name):
        try:
            url = f"http://{network.address(name)}:2379/v3/maintenance/status"
            with urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=1) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def etcd_leader(self):
        for name in network.NAMES:
            status = self.etcd_status(name)
            if status and status["header"]["member_id"] == status["leader"]:
                return name
        return None

    # --- what happens to it ---

    def kill_database(self, name):
        """Kills PostgreSQL and Patroni of a machine; its etcd goes on."""
        network.kill([pid for pid in network.processes(name) if program(pid) != "etcd"])

    def kill_etcd(self, name):
        network.kill([self.etcd[name].pid])
        self.etcd[name].wait()

    def power_on(self, name):
        network.plug_in(name)
        self.start_etcd(name)
        self.start_patroni(name)


def program(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""
