"""Runs the units of an installed package as systemd would: their commands, environment, credentials, account and filter
of system calls, against a real PostgreSQL. It does what docs/systemd.md says: secrets, migrate, start, buy, audit, stop.

    units.py ROOT WORK        the package is installed below ROOT; WORK is a folder for data, removed by the caller

The parts that only systemd itself can do are left out: file systems that are read-only or hidden, and namespaces.
"""

import contextlib
import ctypes
import glob
import json
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request

PARTICIPANTS = ["catalog", "payments", "inventory", "purchases"]
SERVICES = PARTICIPANTS + ["orchestrator"]
# Generous: a slow machine is no failure.
PATIENCE_S = 120
# Of the range of DynamicUser=.
FIRST_UID = 61184

root, work = (os.path.realpath(folder) for folder in sys.argv[1:3])
IS_ROOT = os.geteuid() == 0


def say(text):
    print(f"package: {text}", flush=True)


def fail(text):
    raise SystemExit(f"package: {text}")


def below_root(text):
    """The package's own paths, where they are here."""
    for path in ("/etc/ecommerce", "/usr/lib/ecommerce"):
        text = text.replace(path, root + path)
    return text


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        if time.monotonic() > end:
            fail(f"{what}: not after {PATIENCE_S} s")
        time.sleep(0.05)
    return result


class Unit:
    """A unit with its drop-ins, as systemd reads them."""

    FOLDER = "usr/lib/systemd/system"

    def __init__(self, name):
        self.name = name
        stem, _, kind = name.rpartition(".")
        self.prefix, at, self.instance = stem.partition("@")
        template = f"{self.prefix}{at}.{kind}"
        dropped = [f"{name}.d", f"{template}.d"] if at else [f"{name}.d", f"{stem.rpartition('-')[0]}-.{kind}.d"]
        files = [os.path.join(root, self.FOLDER, template)]
        for folder in dropped:
            files += sorted(glob.glob(os.path.join(glob.escape(os.path.join(root, self.FOLDER, folder)), "*.conf")))
        self.values = {}
        for file in files:
            with open(file, encoding="utf-8") as lines:
                self.read(lines.read())

    def read(self, text):
        section = None
        for line in text.replace("\\\n", " ").splitlines():
            line = line.strip()
            if not line or line[0] in "#;":
                continue
            if line.startswith("["):
                section = line.strip("[]")
                continue
            key, value = line.split("=", 1)
            values = self.values.setdefault((section, key), [])
            if value:
                values.append(value)
            else:
                values.clear()

    def all(self, key, section="Service"):
        return [self.expanded(value) for value in self.values.get((section, key), [])]

    def one(self, key, default=None):
        return (self.all(key) or [default])[-1]

    def expanded(self, value):
        for specifier, text in {"%i": self.instance, "%d": self.credentials(), "%H": socket.gethostname()}.items():
            value = value.replace(specifier, text)
        return below_root(value)

    def credentials(self):
        return os.path.join(work, "credentials", self.name)


def read_environment_file(path):
    with open(path, encoding="utf-8") as lines:
        pairs = [line.strip().split("=", 1) for line in lines if line.strip() and line[0] != "#"]
    return {name: value.strip("\"'") for name, value in pairs}


def members(group):
    """The system calls of a group, with those of the groups in it."""
    shown = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    calls = set()
    for line in shown.stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            calls |= members(name)
        elif name and not name.startswith("#"):
            calls.add(name)
    return calls


def allowed_calls(unit):
    allowed = set()
    for value in unit.all("SystemCallFilter"):
        for group in value.removeprefix("~").split():
            if value.startswith("~"):
                allowed -= members(group)
            else:
                allowed |= members(group)
    # These are always allowed, so that the process can be started.
    return allowed | members("@default")


class Filter:
    """Of system calls, by libseccomp as systemd does it."""

    ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1

    def __init__(self, calls):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(self.EPERM))
        for call in calls:
            number = self.library.seccomp_syscall_resolve_name(call.encode())
            # Calls of other processors have no number here.
            if number >= 0:
                self.library.seccomp_rule_add(self.context, self.ALLOW, number, 0)

    def load(self):
        if self.library.seccomp_load(self.context) != 0:
            os._exit(99)


class Running:
    """The process of a unit."""

    count = 0

    def __init__(self, name):
        self.unit = Unit(name)
        Running.count += 1
        uid = FIRST_UID + Running.count
        self.uid = uid if IS_ROOT else os.geteuid()
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        for assignment in self.unit.all("Environment"):
            variable, value = assignment.split("=", 1)
            environment[variable] = value
        for file in self.unit.all("EnvironmentFile"):
            environment |= read_environment_file(file)
        for variable in self.unit.all("UnsetEnvironment"):
            environment.pop(variable, None)
        self.load_credentials()
        environment["CREDENTIALS_DIRECTORY"] = self.unit.credentials()
        self.notified = None
        if self.unit.one("Type") == "notify":
            path = os.path.join(work, f"notify-{Running.count}")
            self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.notified.bind(path)
            os.chmod(path, 0o666)
            environment["NOTIFY_SOCKET"] = path
            environment["WATCHDOG_USEC"] = str(int(self.unit.one("WatchdogSec")) * 1_000_000)
        self.messages = []
        calls = Filter(allowed_calls(self.unit))
        libc = ctypes.CDLL(None)

        def confine():
            if IS_ROOT:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            os.umask(0o077)
            # NoNewPrivileges=, and MemoryDenyWriteExecute= where the kernel knows it (PR_SET_MDWE).
            libc.prctl(38, 1, 0, 0, 0)
            libc.prctl(65, 1, 0, 0, 0)
            calls.load()

        self.log = open(os.path.join(work, f"{name}.log"), "a", encoding="utf-8")
        command = self.unit.one("ExecStart").split()
        self.process = subprocess.Popen(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            preexec_fn=confine,
        )
        running.append(self)

    def load_credentials(self):
        folder = self.unit.credentials()
        os.makedirs(folder, exist_ok=True)
        for credential in self.unit.all("LoadCredential"):
            name, path = credential.split(":", 1)
            copy = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                os.remove(copy)
            with open(path, "rb") as secret, open(copy, "wb") as credential_file:
                credential_file.write(secret.read())
            os.chmod(copy, 0o400)
            if IS_ROOT:
                os.chown(copy, self.uid, self.uid)

    def hear(self, text):
        """Waits until the service has reported this."""
        if not self.notified:
            fail(f"{self.unit.name} has no Type=notify")
        end = time.monotonic() + PATIENCE_S
        while not any(text in message for message in self.messages):
            if self.process.poll() is not None:
                self.show_log()
                fail(f"{self.unit.name} ended with {self.process.returncode} before {text}")
            self.notified.settimeout(1)
            with contextlib.suppress(TimeoutError):
                self.messages.append(self.notified.recv(4096).decode())
            if time.monotonic() > end:
                self.show_log()
                fail(f"{self.unit.name} did not tell {text}: {self.messages}")

    def show_log(self):
        with open(self.log.name, encoding="utf-8") as log:
            print(*log.read().splitlines()[-20:], sep="\n", file=sys.stderr)

    def ends_with(self, code):
        try:
            ended = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            ended = "no end"
        running.remove(self)
        if ended != code:
            self.show_log()
            fail(f"{self.unit.name} ended with {ended} instead of {code}")

    def status(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as lines:
            return dict(line.split(":", 1) for line in lines)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.hear("STOPPING=1")


running = []


class Postgres:
    """A cluster of this run, of an account that is not root."""

    def __init__(self):
        found = glob.glob("/usr/lib/postgresql/*/bin")
        self.programs = os.environ.get("ECOMMERCE_PG_BIN") or (sorted(found)[-1] if found else None)
        if not self.programs:
            fail("PostgreSQL is not installed")
        # initdb wants an account with a name.
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        self.account = names.get("postgres") or names["nobody"]
        self.folder = os.path.join(work, "postgres")
        os.mkdir(self.folder, 0o700)
        if IS_ROOT:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        self.password = secrets.token_hex(8)
        [self.port] = free_ports(1)
        password_file = os.path.join(work, "password")
        with open(password_file, "w", encoding="utf-8") as file:
            file.write(self.password)
        os.chmod(password_file, 0o444)
        data = os.path.join(self.folder, "data")
        self.run("initdb", "-D", data, "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password_file}", "-N")
        self.server = subprocess.Popen(
            [os.path.join(self.programs, "postgres"), "-D", data, "-p", str(self.port), "-k", self.folder, "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=self.leave_root,
        )
        self.url = f"postgres://127.0.0.1:{self.port}/"
        self.administrator = f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/"

    def leave_root(self):
        if IS_ROOT:
            os.setgroups([])
            os.setgid(self.account.pw_gid)
            os.setuid(self.account.pw_uid)

    def run(self, program, *arguments):
        ran = subprocess.run(
            [os.path.join(self.programs, program), *arguments], cwd="/", capture_output=True, text=True,
            preexec_fn=self.leave_root,
        )
        if ran.returncode != 0:
            fail(f"{program}: {ran.stdout} {ran.stderr}")

    def stop(self):
        self.server.send_signal(signal.SIGINT)
        self.server.wait(PATIENCE_S)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def configure(postgres, ports):
    """The steps of docs/systemd.md: settings and secrets."""
    folder = os.path.join(root, "etc/ecommerce/secrets")
    names = ["service-token", "operator-token"] + [f"{service}-database-password" for service in SERVICES]
    for name in names:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(24) + "\n")
    with open(os.path.join(folder, "administrator-url"), "w", encoding="utf-8") as file:
        file.write(postgres.administrator + "\n")
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o600)
    path = os.path.join(root, "etc/ecommerce/ecommerce.env")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = text.replace("postgres://127.0.0.1:5432/", postgres.url)
    text = text.replace("#ECOMMERCE__INVENTORY__INITIAL_STOCK=", "ECOMMERCE__INVENTORY__INITIAL_STOCK=")
    # So that the test does not wait: a proxy is not there.
    text += "ECOMMERCE__HTTP__DRAIN_DELAY_MS=200\n"
    text += "".join(f"ECOMMERCE__SERVICES__{name.upper()}__PORT={port}\n" for name, port in ports.items())
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def program(*arguments, code=0, **variables):
    """The command in the PATH, as root runs it."""
    with open(os.path.join(root, "usr/bin/ecommerce"), encoding="utf-8") as file:
        wrapper = os.path.join(work, "ecommerce")
        with open(wrapper, "w", encoding="utf-8") as copy:
            copy.write(below_root(file.read()))
    environment = {"PATH": "/usr/bin:/bin"} | variables
    ran = subprocess.run(["sh", wrapper, *arguments], env=environment, cwd="/", capture_output=True, text=True)
    if ran.returncode != code:
        fail(f"ecommerce {' '.join(arguments)}: exit code {ran.returncode}: {ran.stdout} {ran.stderr}")
    return ran.stdout or ran.stderr


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def check_times():
    settings = {}
    for name in ("default", "production"):
        with open(os.path.join(root, f"etc/ecommerce/config/{name}.toml"), "rb") as file:
            for section, values in tomllib.load(file).items():
                settings.setdefault(section, {}).update(values)
    http, orchestrator = settings["http"], settings["orchestrator"]
    needed_ms = http["drain_delay_ms"] + orchestrator["grace_ms"] + http["drain_grace_ms"]
    for service in SERVICES:
        unit = Unit(f"ecommerce@{service}.service")
        stop_s, start_s = int(unit.one("TimeoutStopSec")), int(unit.one("TimeoutStartSec"))
        if stop_s * 1000 <= needed_ms:
            fail(f"{service}: TimeoutStopSec={stop_s}, and a stop may take {needed_ms} ms")
        if start_s * 1000 <= settings["database"]["start_wait_ms"]:
            fail(f"{service}: TimeoutStartSec={start_s} is shorter than database.start_wait_ms")
    target = Unit("ecommerce.target")
    wanted = {word for value in target.all("Wants", "Unit") for word in value.split()}
    if wanted != {f"ecommerce@{service}.service" for service in SERVICES}:
        fail(f"ecommerce.target wants {wanted}")


def main():
    began = time.monotonic()
    check_times()
    postgres = Postgres()
    try:
        ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        # Without settings and secrets nothing starts, and the message names what is missing.
        bare = program("serve", "payments", "--port", "0", code=2)
        if not all(setting in bare for setting in ("auth.service_token", "inventory.initial_stock")):
            fail(f"a start without settings says: {bare}")
        configure(postgres, ports)
        wait_until("PostgreSQL answers", lambda: subprocess.run(
            [os.path.join(postgres.programs, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(postgres.port)]
        ).returncode == 0)

        Running("ecommerce-migrate.service").ends_with(0)
        services = {name: Running(f"ecommerce@{name}.service") for name in SERVICES}
        for name, service in services.items():
            service.hear("READY=1")
            service.hear("WATCHDOG=1")
            status = service.status()
            if status["Uid"].split()[0] != str(service.uid) or status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
                fail(f"{name} is not confined: {status}")
            if IS_ROOT and int(status["CapEff"], 16) != 0:
                fail(f"{name} has capabilities: {status['CapEff']}")
        say(f"five services are ready {time.monotonic() - began:.0f} s after initdb, as accounts of their own, with the units' filter of system calls")

        front = f"http://127.0.0.1:{ports['orchestrator']}"
        for port in ports.values():
            health = json.loads(get(f"http://127.0.0.1:{port}/health/"))
            if health["status"] != "healthy" or health["build"]["revision"] not in program("--version"):
                fail(f"health: {health}")
        if "process_start_time_seconds" not in get(f"{front}/metrics"):
            fail("the metrics lack the start of the process")
        for user in range(5):
            program("order", "--user", f"user-{user}", "--amount", "9.99", "--target", front)
        listed = json.loads(program("list", "--json", "--target", front))
        if len(listed["transactions"]) != 5:
            fail(f"list: {listed}")
        try:
            get(f"{front}/saga/transactions")
            fail("the list of all purchases needs no token")
        except urllib.error.HTTPError as refused:
            if refused.code != 401:
                fail(f"the list of all purchases without a token: {refused.code}")
        program("audit", "--settled")
        Running("ecommerce-audit.service").ends_with(0)

        # A service that was killed: what Restart= starts again works.
        killed = services["payments"]
        killed.process.kill()
        killed.ends_with(-signal.SIGKILL)
        services["payments"] = Running("ecommerce@payments.service")
        services["payments"].hear("READY=1")
        program("order", "--user", "after", "--amount", "1", "--target", front)

        # In the order of the units: the orchestrator first.
        order = Unit("ecommerce@orchestrator.service").all("After", "Unit")
        if not all(f"ecommerce@{name}.service" in " ".join(order) for name in PARTICIPANTS):
            fail(f"the orchestrator is not ordered after the participants: {order}")
        for name in ["orchestrator"] + PARTICIPANTS:
            services[name].stop()
            services[name].ends_with(0)
        Running("ecommerce-audit.service").ends_with(0)
        say(f"bought, listed, audited, killed and stopped as docs/systemd.md says, in {time.monotonic() - began:.0f} s")
    finally:
        for each in list(running):
            each.process.kill()
            each.process.wait()
        postgres.stop()


main()
