#!/usr/bin/env python3
"""Provokes every alert of alerts.yml on a real Prometheus, and shows that each fires and resolves.

Everything runs on loopback in a folder that is removed: PostgreSQL with a standby, two orchestrators, two replicas of
payments, the other services, Prometheus (started by replicas.sh), Alertmanager, the exporters of PostgreSQL and of the
volumes. Alertmanager runs docker/alertmanager/alertmanager.yml with a webhook of this script as its receiver.

    docker/prometheus/provoke.py                           all alerts, in about twenty minutes
    docker/prometheus/provoke.py BreakerOpen PoolExhausted some of them
    BINARY=target/release/ecommerce docker/prometheus/provoke.py

All durations of the rules (`for`, ranges) are divided by SPEED (10), and Prometheus scrapes every half second instead
of every five; thresholds are as they are. A container's name that disappears is a target that is removed from a file.
The programs are found in PATH, or unpacked from Debian's packages by tests/prometheus.sh. A file system of known size
has to be mounted for DiskFills, which takes root.
"""

import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BINARY", ROOT / "target/debug/ecommerce")).resolve()
SPEED = int(os.environ.get("SPEED", "10"))
SCRAPE = "500ms"
PATIENCE = 180
OPERATOR, SERVICE = "operator-of-this-run", "services-of-this-run"
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SERVICES = ["orchestrator", "catalog", "payments", "inventory", "purchases"]


def faster(rules: str) -> str:
    """Divides the durations of rules by SPEED."""

    def shorter(found: re.Match) -> str:
        ms = int(found[2]) * UNITS_MS[found[3]] // SPEED
        return f"{found[1]}{ms}ms{found[4]}"

    rules = re.sub(r"(\[)(\d+)(ms|s|m|h|d)(\])", shorter, rules)
    return re.sub(r"(for: |offset )(\d+)(ms|s|m|h|d)()", shorter, rules)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what: str, holds, patience: float = PATIENCE) -> float:
    """Waits for a condition and returns the seconds that it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > patience:
            raise TimeoutError(f"not within {patience} s: {what}")
        time.sleep(0.2)
    return time.monotonic() - began


def call(method: str, url: str, body=None, token: str = SERVICE, timeout: float = 30):
    """Makes a request; returns status and text, or None and the reason."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return None, str(error)


class Machine:
    """The processes of a run, and its folder."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="provoke-"))
        self.folder.chmod(0o755)
        self.processes: dict[str, subprocess.Popen] = {}
        self.clusters: list["Cluster"] = []
        self.mounted: list[pathlib.Path] = []
        self.tools = self.find_tools()
        self.owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}

    @staticmethod
    def find_tools() -> dict[str, str]:
        unpacked = subprocess.run([ROOT / "tests/prometheus.sh", "--path"], check=True, capture_output=True, text=True)
        newest = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        path = os.pathsep.join([os.environ["PATH"], unpacked.stdout.strip(), *map(str, newest[-1:])])
        names = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter", "prometheus-postgres-exporter"]
        names += ["initdb", "pg_ctl", "psql", "pg_basebackup"]
        tools = {name: shutil.which(name, path=path) for name in names}
        missing = [name for name, found in tools.items() if not found]
        if missing or not BINARY.exists():
            sys.exit(f"missing: {' '.join(missing) or BINARY}; `cargo build` makes the binary")
        return tools

    def start(self, name: str, command: list, environment=None) -> None:
        log = open(self.folder / f"{name}.log", "ab")
        inherited = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        self.processes[name] = subprocess.Popen(
            [str(part) for part in command], env=inherited | (environment or {}), stdout=log, stderr=log, cwd=self.folder
        )

    def stop(self, name: str, how=signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run(self, *command, environment=None, as_owner: bool = False) -> str:
        inherited = {"PATH": os.environ["PATH"] + os.pathsep + str(pathlib.Path(self.tools["psql"]).parent)}
        owner = self.owner if as_owner else {}
        done = subprocess.run(
            [str(part) for part in command], env=inherited | (environment or {}), capture_output=True, text=True,
            cwd=self.folder, **owner,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def close(self) -> None:
        for name in reversed(list(self.processes)):
            with contextlib.suppress(ProcessLookupError):
                self.stop(name)
        for cluster in self.clusters:
            with contextlib.suppress(RuntimeError):
                cluster.stop("immediate")
        for folder in self.mounted:
            subprocess.run(["umount", folder], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """A PostgreSQL server of the run."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.port = machine, name, free_port()
        machine.clusters.append(self)
        self.home = machine.folder / name
        self.home.mkdir()
        if machine.owner:
            shutil.chown(self.home, "postgres", "postgres")
        self.data = self.home / "data"

    def tool(self, name: str, *arguments) -> None:
        self.machine.run(self.machine.tools[name], *arguments, as_owner=True)

    def make(self) -> None:
        self.tool("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")

    def follow(self, primary: "Cluster") -> None:
        self.tool("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-h", "127.0.0.1", "-p",
                  primary.port, "-U", "postgres")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.home} -c fsync=off"
        self.tool("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.home / "log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.tool("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def promote(self) -> None:
        self.tool("pg_ctl", "-D", self.data, "-w", "promote")

    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/"

    def environment(self) -> dict[str, str]:
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}

    def query(self, database: str, sql: str) -> str:
        psql = [self.machine.tools["psql"], "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
        return self.machine.run(*psql, environment=self.environment()).strip()

    @contextlib.contextmanager
    def transaction(self, database: str, sql: str):
        """Keeps a transaction open in which `sql` has run."""
        psql = [self.machine.tools["psql"], "-X", "-q", "-t", "-A", "-d", database]
        with subprocess.Popen(psql, env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
            session.stdin.write(f"begin;\n{sql};\nselect 'open';\n")
            session.stdin.flush()
            while session.stdout.readline().strip() != "open":
                if session.poll() is not None:
                    raise RuntimeError(f"{sql}: the session has ended")
            try:
                yield
            finally:
                session.stdin.close()


class System:
    """The shop with its monitoring."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.ports = {name: free_port() for name in [*SERVICES, "orchestrator-2", "payments-2", "payments-lost"]}
        for name in ["prometheus", "alertmanager", "volumes", "postgres", "webhook"]:
            self.ports[name] = free_port()
        self.database = Cluster(machine, "postgres")
        self.targets = machine.folder / "targets"
        self.volume = machine.folder / "volumes/postgres-data"
        self.backups = machine.folder / "volumes/backups"
        self.notified: set[tuple[str, str]] = set()

    def at(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    # --- processes ---
    def environment(self, url: str) -> dict[str, str]:
        settings = {
            "DATABASE__URL": url, "DATABASE__POOL_SIZE": 3, "AUTH__OPERATOR_TOKEN": OPERATOR, "AUTH__SERVICE_TOKEN": SERVICE,
            "GROUP_COMMIT__MAX_QUEUE": 64, "GROUP_COMMIT__MAX_BATCH": 64, "INVENTORY__INITIAL_STOCK": 100_000,
            "ORCHESTRATOR__LEASE_MS": 2_000, "ORCHESTRATOR__HEARTBEAT_MS": 400, "ORCHESTRATOR__SWEEP_MS": 500,
            "ORCHESTRATOR__ATTENTION_AFTER_MS": 500, "ORCHESTRATOR__STALLED_AFTER_MS": 1_500,
            "ORCHESTRATOR__DEADLINE_MS": 600_000, "ORCHESTRATOR__MAX_RUNNING": 40, "ORCHESTRATOR__GRACE_MS": 500,
            "PARTICIPANTS__TIMEOUT_MS": 2_500, "PARTICIPANTS__BREAKER_FAILURES": 5, "PARTICIPANTS__BREAKER_PAUSE_MS": 300,
            "HTTP__DRAIN_GRACE_MS": 500,
        }
        for service in SERVICES:
            settings[f"SERVICES__{service.upper()}__URL"] = self.at(service)
        # Both replicas of payments are called through one name in production. Here the orchestrators call the first.
        return {"ECOMMERCE_PROFILE": "bench"} | {f"ECOMMERCE__{key}": str(value) for key, value in settings.items()}

    def serve(self, name: str, url: str | None = None) -> None:
        service = name.split("-")[0]
        environment = self.environment(url or self.database.url())
        environment[f"ECOMMERCE__SERVICES__{service.upper()}__PORT"] = str(self.ports[name])
        self.machine.start(name, [BINARY, "serve", service], environment)

    def ecommerce(self, *arguments) -> str:
        return self.machine.run(BINARY, *arguments, environment=self.environment(self.database.url()))

    def pause(self, name: str) -> None:
        self.machine.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.machine.processes[name].send_signal(signal.SIGCONT)

    def scrape(self, job: str, *names: str) -> None:
        """Sets the targets of a job, as the names of its containers would."""
        targets = [f"127.0.0.1:{self.ports[name]}" for name in names]
        written = self.targets / f".{job}"
        written.write_text(json.dumps([{"targets": targets}] if targets else []))
        written.rename(self.targets / f"{job}.json")

    def start(self) -> None:
        machine, tools = self.machine, self.machine.tools
        for folder in [self.targets, self.volume, self.backups]:
            folder.mkdir(parents=True)
        self.database.make()
        self.database.start()
        self.ecommerce("migrate")
        for name in [*SERVICES, "orchestrator-2", "payments-2"]:
            self.serve(name)
        monitor = {"MONITOR_DB_PASSWORD": "monitor"} | self.database.environment()
        machine.run(tools["psql"], "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", ROOT / "docker/postgres/monitor.sql", environment=monitor)
        source = f"postgresql://monitor:monitor@127.0.0.1:{self.database.port}/postgres?sslmode=disable"
        machine.start("postgres-exporter", [tools["prometheus-postgres-exporter"], f"--web.listen-address=127.0.0.1:{self.ports['postgres']}"],
                      {"DATA_SOURCE_NAME": source})
        if os.getuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", self.volume], check=False).returncode == 0:
            machine.mounted.append(self.volume)
        machine.start("node-exporter", [
            tools["prometheus-node-exporter"], "--collector.disable-defaults", "--collector.filesystem",
            "--collector.filesystem.fs-types-exclude=^(overlay|proc|sysfs|devpts)$", f"--path.rootfs={machine.folder}",
            "--collector.textfile", f"--collector.textfile.directory={self.backups}",
            f"--web.listen-address=127.0.0.1:{self.ports['volumes']}",
        ])
        self.receive()
        configuration = (ROOT / "docker/alertmanager/alertmanager.yml").read_text()
        receiver = f"    webhook_configs:\n      - url: {self.at('webhook')}\n"
        configuration = configuration.replace("    # webhook_configs:\n", receiver + "    # webhook_configs:\n")
        configuration = re.sub(r"(group_wait|group_interval): \S+", r"\1: 1s", configuration)
        (machine.folder / "alertmanager.yml").write_text(configuration)
        machine.start("alertmanager", [
            *self.with_templates(tools["prometheus-alertmanager"]), f"--config.file={machine.folder}/alertmanager.yml", "--cluster.listen-address=",
            f"--storage.path={machine.folder}/alertmanager", f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
        ])
        self.start_prometheus()

    @staticmethod
    def with_templates(alertmanager: str) -> list[str]:
        """Debian's Alertmanager reads its templates from a fixed place: where it is only unpacked, it runs with a
        /usr/share of its own."""
        place = pathlib.Path("/usr/share/prometheus/alertmanager")
        if place.exists():
            return [alertmanager]
        templates = pathlib.Path(alertmanager).parents[2] / place.relative_to("/")
        prepare = 'mount -t tmpfs tmpfs /usr/share; mkdir -p "$2"; cp -r "$1"/. "$2"; shift 2; exec "$@"'
        own_mounts = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
        return [*own_mounts, "sh", "-ec", prepare, "sh", str(templates), str(place), alertmanager]

    def start_prometheus(self) -> None:
        folder = self.machine.folder
        (folder / "alerts.yml").write_text(faster((ROOT / "docker/prometheus/alerts.yml").read_text()))
        jobs = re.findall(r"job_name: (\w+)", (ROOT / "docker/prometheus/prometheus.yml").read_text())
        jobs = [job for job in jobs if job not in ("prometheus", "alertmanager")]
        # The exporter of PostgreSQL tries for some seconds to log in before it says that it can't.
        patient = "    scrape_interval: 10s\n    scrape_timeout: 10s\n"
        scrape = "".join(
            f"  - job_name: {job}\n{patient if job == 'postgres' else ''}    file_sd_configs: [{{files: ['{self.targets}/{job}.json'], refresh_interval: 1s}}]\n"
            for job in jobs
        )
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE}, scrape_timeout: {SCRAPE}, evaluation_interval: {SCRAPE}}}\n"
            f"rule_files: ['{folder}/alerts.yml', '{folder}/replicas*.yml']\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{self.ports['alertmanager']}']}}]}}]}}\n"
            f"scrape_configs:\n{scrape}"
        )
        self.scrape("orchestrator", "orchestrator", "orchestrator-2")
        self.scrape("payments", "payments", "payments-2")
        for job in ["catalog", "inventory", "purchases", "postgres", "volumes"]:
            self.scrape(job, job)
        # Traefik is not there: Prometheus watches itself in its place.
        self.scrape("traefik", "prometheus")
        environment = {
            "RULES": f"{folder}/replicas.yml", "PROMETHEUS": self.machine.tools["prometheus"],
            "ORCHESTRATOR_REPLICAS": "2", "PAYMENTS_REPLICAS": "2",
        }
        self.machine.start("prometheus", [
            "/bin/sh", ROOT / "docker/prometheus/replicas.sh", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
        ], environment)
        wait_until("Prometheus answers", lambda: call("GET", self.at("prometheus", "/-/ready"))[0] == 200)

    def receive(self) -> None:
        """Notes what Alertmanager sends."""
        notified = self.notified

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                notified.update((alert["labels"]["alertname"], alert["status"]) for alert in sent["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.ports["webhook"]), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    # --- what users and operators do ---
    def firing(self) -> set[str]:
        status, text = call("GET", self.at("prometheus", "/api/v1/alerts"))
        if status != 200:
            return set()
        return {alert["labels"]["alertname"] for alert in json.loads(text)["data"]["alerts"] if alert["state"] == "firing"}

    def value(self, query: str) -> float | None:
        """The first value of a query."""
        _, text = call("GET", self.at("prometheus", f"/api/v1/query?query={query}"))
        with contextlib.suppress(ValueError, LookupError, TypeError):
            return float(json.loads(text)["data"]["result"][0]["value"][1])
        return None

    def buy(self, wait: bool = True, to: str = "orchestrator"):
        body = {"user_id": "buyer", "amount": 9.99}
        headers = {"content-type": "application/json"} | ({} if wait else {"prefer": "respond-async"})
        request = urllib.request.Request(self.at(to, "/saga/transaction"), json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return None, str(error)

    def faults(self, service: str, operation: str, **settings) -> None:
        for name in [name for name in self.ports if name.split("-")[0] == service and name in self.machine.processes]:
            status, text = call("PUT", self.at(name, "/debug/faults"), {operation: settings}, token=OPERATOR)
            assert status == 200, text

    def operate(self, path: str) -> None:
        call("POST", self.at("orchestrator", path), {}, token=OPERATOR)

    @contextlib.contextmanager
    def repeated(self, what, threads: int = 1, pause: float = 0.1):
        """Does something again and again in the background."""
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(pause):
                what()

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for _ in range(threads):
                pool.submit(work)
            try:
                yield
            finally:
                ended.set()


# --- what provokes each alert: the block in force, and its end ---
@contextlib.contextmanager
def row_gone(system: System):
    system.faults("payments", "charge", latency_ms={"min": 2_000, "max": 2_000})
    _, text = system.buy(wait=False)
    system.database.query("ms_orchestrator", f"delete from saga where id = '{json.loads(text)['transaction_id']}'")
    yield
    system.faults("payments", "charge", latency_ms={"min": 0, "max": 0})


@contextlib.contextmanager
def lost_commits(system: System):
    first, second = Cluster(system.machine, "primary"), Cluster(system.machine, "standby")
    first.make()
    first.start()
    url = f"postgres://postgres@127.0.0.1:{first.port},127.0.0.1:{second.port}/"
    system.machine.run(BINARY, "migrate", environment=system.environment(url))
    second.follow(first)
    second.start()
    system.serve("payments-lost", url)
    system.scrape("payments", "payments", "payments-2", "payments-lost")
    pay = lambda number: call("POST", system.at("payments-lost", "/payments/"), {"user_id": "u", "transaction_id": f"lost-{number}", "amount": 5})[0]
    wait_until("a payment of the primary", lambda: pay(1) == 200)
    # The standby misses what is confirmed now.
    second.stop()
    assert pay(2) == 200
    first.stop("immediate")
    second.start()
    second.promote()
    wait_until("a payment of the former standby", lambda: pay(3) == 200)
    call("GET", system.at("payments-lost", "/health/"))
    yield
    second.stop()


@contextlib.contextmanager
def needs_a_person(system: System):
    system.faults("payments", "refund", failure_rate=1.0)
    system.faults("purchases", "create", failure_rate=1.0)
    system.buy(wait=False)
    yield
    system.faults("payments", "refund", failure_rate=0.0)
    system.faults("purchases", "create", failure_rate=0.0)
    system.operate("/saga/attention/retry")


@contextlib.contextmanager
def a_write_waits(system: System):
    # The row of a running saga is locked, so its end is not written.
    system.faults("payments", "charge", latency_ms={"min": 2_000, "max": 2_000})
    _, text = system.buy(wait=False)
    saga = json.loads(text)["transaction_id"]
    with system.database.transaction("ms_orchestrator", f"select id from saga where id = '{saga}' for update"):
        yield
    system.faults("payments", "charge", latency_ms={"min": 0, "max": 0})


@contextlib.contextmanager
def without_actor(system: System):
    system.faults("payments", "charge", latency_ms={"min": 2_400, "max": 2_400})
    _, text = system.buy(wait=False)
    saga = json.loads(text)["transaction_id"]
    system.machine.stop("orchestrator", signal.SIGKILL)
    system.faults("payments", "charge", latency_ms={"min": 0, "max": 0})
    with system.database.transaction("ms_orchestrator", f"select id from saga where id = '{saga}' for update"):
        yield
    system.serve("orchestrator")


@contextlib.contextmanager
def on_hold(system: System):
    system.ecommerce("hold", "--reason", "a test of the alerts")
    yield
    system.ecommerce("release", "--anyway")


@contextlib.contextmanager
def slow(system: System):
    for service, operation in [("payments", "charge"), ("inventory", "decrease"), ("purchases", "create")]:
        system.faults(service, operation, latency_ms={"min": 2_000, "max": 2_000})
    with system.repeated(system.buy, threads=4):
        yield
    for service, operation in [("payments", "charge"), ("inventory", "decrease"), ("purchases", "create")]:
        system.faults(service, operation, latency_ms={"min": 0, "max": 0})


@contextlib.contextmanager
def turn_back(system: System):
    system.faults("payments", "charge", failure_rate=1.0)
    with system.repeated(system.buy, threads=2):
        yield
    system.faults("payments", "charge", failure_rate=0.0)


@contextlib.contextmanager
def lag(system: System):
    request = urllib.request.Request(system.at("orchestrator", "/saga/events"), headers={"authorization": f"Bearer {OPERATOR}"})
    listener = urllib.request.urlopen(request, timeout=PATIENCE)
    with system.database.transaction("ms_catalog", "select pg_current_xact_id()"):
        system.buy()
        yield
    listener.close()


@contextlib.contextmanager
def hangs(system: System):
    system.pause("payments")
    with system.repeated(lambda: system.buy(wait=False), threads=1, pause=0.3):
        yield
    system.resume("payments")


@contextlib.contextmanager
def no_lease(system: System):
    node = system.database.query("ms_orchestrator", "select node_id from node_lease where expires_at > clock_timestamp() limit 1")
    with system.database.transaction("ms_orchestrator", f"select 1 from node_lease where node_id = '{node}' for update"):
        yield


@contextlib.contextmanager
def database_stops(system: System):
    system.database.stop()
    yield
    system.database.start()


@contextlib.contextmanager
def service_gone(system: System):
    system.machine.stop("catalog")
    system.scrape("catalog")
    yield
    system.serve("catalog")
    system.scrape("catalog", "catalog")


@contextlib.contextmanager
def replica_gone(system: System):
    system.machine.stop("payments-2")
    system.scrape("payments", "payments")
    yield
    system.serve("payments-2")
    system.scrape("payments", "payments", "payments-2")


@contextlib.contextmanager
def writes_wait(system: System):
    numbers = iter(range(1_000_000))

    def pay() -> None:
        body = {"user_id": "u", "transaction_id": f"queued-{next(numbers)}", "amount": 5}
        call("POST", system.at("payments-2", "/payments/"), body)

    with system.database.transaction("ms_payments", "lock table app_payment in access exclusive mode"):
        with system.repeated(pay, threads=48):
            yield


@contextlib.contextmanager
def reads_wait(system: System):
    with system.database.transaction("ms_purchases", "lock table app_purchase in access exclusive mode"):
        with system.repeated(lambda: call("GET", system.at("purchases", "/purchases/1/")), threads=8):
            yield


@contextlib.contextmanager
def server_errors(system: System):
    system.faults("payments", "charge", unavailable_rate=0.5)
    numbers = iter(range(1_000_000))

    def pay() -> None:
        body = {"user_id": "u", "transaction_id": f"error-{next(numbers)}", "amount": 5}
        call("POST", system.at("payments-2", "/payments/"), body)

    with system.repeated(pay, threads=2):
        yield
    system.faults("payments", "charge", unavailable_rate=0.0)


@contextlib.contextmanager
def full(system: System):
    system.faults("payments", "charge", latency_ms={"min": 2_000, "max": 2_000})
    with system.repeated(system.buy, threads=60, pause=0.01):
        yield
    system.faults("payments", "charge", latency_ms={"min": 0, "max": 0})


@contextlib.contextmanager
def guessed_tokens(system: System):
    with system.repeated(lambda: call("GET", system.at("orchestrator", "/saga/attention"), token="a-guess"), threads=1):
        yield


@contextlib.contextmanager
def sold(system: System):
    call("POST", system.at("inventory", "/inventory/decrease/"), {"product_id": "rare", "quantity": 99_995, "transaction_id": "nearly-all"})
    yield
    status, text = call("POST", system.at("inventory", "/inventory/restock/"), {"product_id": "rare", "quantity": 1_000}, token=OPERATOR)
    assert status == 200, text


@contextlib.contextmanager
def disk_full(system: System):
    if not system.machine.mounted:
        raise PermissionError("a file system of known size cannot be mounted")
    filling = system.volume / "filling"
    filling.write_bytes(bytes(15 * 1024 * 1024))
    yield
    filling.unlink()


@contextlib.contextmanager
def no_backup(system: System):
    yield
    system.machine.run(ROOT / "docker/backup.sh", system.backups, environment=system.database.environment())


# Alerts of one group are provoked together.
PROVOKED = [
    (["SagaRowGone"], "the row of a running saga is deleted", row_gone),
    (["LostCommits"], "a standby is promoted that lacks a payment", lost_commits),
    (["BackupTooOld"], "no backup was made; then docker/backup.sh runs", no_backup),
    (["BreakerOpen"], "payments hangs (SIGSTOP)", hangs),
    (["SagasNeedAPerson"], "refunds fail, and purchases are refused", needs_a_person),
    (["SagasStalled"], "a transaction locks the row of a running saga", a_write_waits),
    (["SagasWithoutActor"], "its orchestrator is killed, and a transaction locks the row", without_actor),
    (["SagasOnHold"], "ecommerce hold", on_hold),
    (["SagasSlow"], "three steps take two seconds each", slow),
    (["SagasTurnBack"], "payments refuses every charge", turn_back),
    (["ListenersLag"], "a transaction stays open in another database", lag),
    (["NodeWithoutLease"], "a transaction locks the lease of one node", no_lease),
    (["DatabaseDown", "NoNodeHoldsALease"], "PostgreSQL is stopped", database_stops),
    (["ServiceDown"], "catalog ends, and its target vanishes", service_gone),
    (["ReplicaDown"], "one of two payments ends, and its target vanishes", replica_gone),
    (["WriterQueueGrows"], "a transaction locks the table of payments", writes_wait),
    (["PoolExhausted"], "a transaction locks the table of purchases", reads_wait),
    (["ServerErrors"], "payments answers half of its requests with 503", server_errors),
    (["RequestsRefused"], "more purchases than max_running", full),
    (["TokensRefused"], "ten wrong tokens a second", guessed_tokens),
    (["StockRunsOut"], "five of a product are left; then it is restocked", sold),
    (["DiskFills"], "a volume of 16 MB gets a file of 15 MB", disk_full),
]


def main() -> int:
    names = re.findall(r"- alert: (\w+)", (ROOT / "docker/prometheus/alerts.yml").read_text())
    unknown = {name for group, _, _ in PROVOKED for name in group} ^ set(names)
    wanted = set(sys.argv[1:]) or set(names)
    if unknown or wanted - set(names):
        sys.exit(f"not in both this script and alerts.yml: {' '.join(sorted(unknown | (wanted - set(names))))}")
    machine = Machine()
    system = System(machine)
    results: list[list] = []
    lasting: list[tuple[list, float]] = []
    try:
        system.start()
        wait_until("all targets are scraped", lambda: system.value('sum(up)') == 10)
        # Counters are seen at 0 before they grow.
        wait_until("nothing fires but for the backup that is not there", lambda: system.firing() == {"BackupTooOld"})
        for group, how, provoke in PROVOKED:
            if not wanted & set(group):
                continue
            try:
                began, late = time.monotonic(), None
                with provoke(system):
                    # The provocation is taken back also where an alert does not fire.
                    try:
                        for name in group:
                            wait_until(f"{name} fires", lambda name=name: name in system.firing())
                    except TimeoutError as error:
                        late = error
                    took = time.monotonic() - began
                if late:
                    raise late
                ended = time.monotonic()
                for name in group:
                    result = [name, how, f"{took:.1f} s", None, ""]
                    results.append(result)
                    if name in ("SagaRowGone", "LostCommits"):
                        # They look back for an hour.
                        lasting.append((result, ended))
                        continue
                    wait_until(f"{name} resolves", lambda name=name: name not in system.firing())
                    result[3] = f"{time.monotonic() - ended:.1f} s"
                state = "fired" if group[0] in ("SagaRowGone", "LostCommits") else "fired and resolved"
                print(f"{time.strftime('%T')} {' '.join(group)}: {state}", flush=True)
            except (TimeoutError, PermissionError, RuntimeError, AssertionError) as error:
                results.append([" ".join(group), how, "-", "-", f"FAILED: {error}"])
                print(f"{time.strftime('%T')} {' '.join(group)}: {error}", flush=True)
        for result, ended in lasting:
            wait_until(f"{result[0]} resolves", lambda result=result: result[0] not in system.firing(), 3_600 / SPEED + PATIENCE)
            result[3] = f"{time.monotonic() - ended:.1f} s"
        fired = {result[0] for result in results if result[3] not in (None, "-")}
        with contextlib.suppress(TimeoutError):
            wait_until("Alertmanager has reported all", lambda: fired <= {name for name, state in system.notified if state == "resolved"}, 60)
        for result in results:
            states = sorted(state for name, state in system.notified if name == result[0])
            result[4] = result[4] or " and ".join(states) or "nothing: inhibited, or over before its wait"
    finally:
        if os.environ.get("KEEP_LOGS"):
            shutil.copytree(machine.folder, os.environ["KEEP_LOGS"], dirs_exist_ok=True, ignore=shutil.ignore_patterns("postgres", "primary", "standby", "tsdb", "volumes"))
        machine.close()
    print(f"\nDurations of the rules divided by {SPEED}.\n")
    print("| alert | provoked by | fires after | resolves after | Alertmanager sent |\n|---|---|---|---|---|")
    for result in results:
        print(f"| {' | '.join(str(cell) for cell in result)} |")
    return 1 if any("FAILED" in result[4] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
