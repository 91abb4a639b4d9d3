"""The five services on one way to the database, with buyers and a listener to the events."""

import collections
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.parse
import uuid

import network
from cluster import HAPROXY_PORT, PASSWORD, wait_until

SERVICES = ["catalog", "payments", "inventory", "purchases", "orchestrator"]
WAYS = {
    "HAProxy": f"{network.CLIENT}:{HAPROXY_PORT}",
    "hosts": ",".join(f"{network.address(name)}:5432" for name in network.NAMES),
}
PAUSE_S = 0.1
# Longer than an orchestrator lets a client wait.
REQUEST_S = 45
# A purchase that has no end by then counts as lost.
PATIENCE_S = 180
ENDS = {"COMPLETED", "COMPENSATED", "FAILED"}


class Shop:
    def __init__(self, program, folder, way):
        self.program = program
        self.folder = folder
        self.way = way
        number = list(WAYS).index(way)
        self.ports = {service: 8000 + 100 * number + index for index, service in enumerate(SERVICES)}
        self.databases = {service: f"ms{number}_{service}" for service in SERVICES}
        # Ignore settings in the developer's environment.
        own = {name: value for name, value in os.environ.items() if not name.startswith("ECOMMERCE_")}
        self.environment = own | {
            "ECOMMERCE_PROFILE": "bench",
            "ECOMMERCE__DATABASE__URL": f"postgres://postgres:{PASSWORD}@{WAYS[way]}/",
            "ECOMMERCE__DATABASE__POOL_SIZE": "4",
            "ECOMMERCE__FAULTS__PAYMENTS__CHARGE__FAILURE_RATE": "0.05",
            "ECOMMERCE__FAULTS__PURCHASES__CREATE__FAILURE_RATE": "0.05",
        }
        for service in SERVICES:
            self.environment[f"ECOMMERCE__SERVICES__{service.upper()}__PORT"] = str(self.ports[service])
            self.environment[f"ECOMMERCE__SERVICES__{service.upper()}__DATABASE"] = self.databases[service]
        self.processes = {}
        self.events = None

    def start(self):
        self.run("migrate")
        for service in SERVICES:
            self.serve(service)
        for service in SERVICES:
            wait_until(lambda service=service: self.is_healthy(service), f"{service} is healthy")
        self.events = Events(self.ports["orchestrator"])

    def serve(self, service):
        log = self.folder / f"{self.way}-{service}.log"
        command = [self.program, "serve", service]
        self.processes[service] = network.start(command, log, env=self.environment, cwd=self.folder)

    def run(self, *command):
        # Without a folder `config` the program uses the files that it was built with.
        options = {"env": self.environment, "cwd": self.folder, "capture_output": True, "text": True, "check": False}
        result = subprocess.run([self.program, *command], **options)
        if command[0] == "migrate" and result.returncode != 0:
            raise RuntimeError(f"{command}: {result.stdout}{result.stderr}")
        return result

    def is_healthy(self, service):
        if self.processes[service].poll() is not None:
            # As a service manager does.
            print(f"ha: {service} has ended and is started again: {self.way}-{service}.log", flush=True)
            self.serve(service)
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[service], timeout=3)
        try:
            connection.request("GET", "/health/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Purchase:
    def __init__(self, user):
        self.user = user
        self.key = str(uuid.uuid4())
        # Every id that an answer to this key named.
        self.ids = set()
        # The id of a 202 or of an end, and the end.
        self.accepted = None
        self.end = None
        self.requests = 0
        self.trouble = None


class Buyers:
    """Buyers of one round; each repeats an unanswered request with the same key until it knows the end."""

    def __init__(self, shop, round_name, count):
        self.shop = shop
        self.purchases = []
        # The times at which purchases were reported COMPLETED, in order.
        self.completed_at = []
        self.stopping = threading.Event()
        self.began = time.monotonic()
        users = [f"{round_name}-{number}" for number in range(count)]
        self.threads = [threading.Thread(target=self.shopping, args=(user,), daemon=True) for user in users]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.ended = time.monotonic()

    def has_completed_since(self, moment):
        return bool(self.completed_at) and self.completed_at[-1] > moment

    def longest_gap(self):
        times = [self.began, *self.completed_at, self.ended]
        return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))

    def shopping(self, user):
        client = Client(self.shop.ports["orchestrator"])
        while not self.stopping.is_set():
            purchase = Purchase(user)
            self.purchases.append(purchase)
            buy(client, purchase)
            if purchase.end == "COMPLETED":
                self.completed_at.append(time.monotonic())
            time.sleep(PAUSE_S)


def buy(client, purchase):
    body = json.dumps({"user_id": purchase.user, "amount": 9.99})
    headers = {"content-type": "application/json", "idempotency-key": purchase.key}
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and purchase.end is None:
        purchase.requests += 1
        if purchase.accepted:
            answer = client.ask("GET", f"/saga/status/{purchase.accepted}")
        else:
            answer = client.ask("POST", "/saga/transaction", body, headers)
        if answer is None:
            time.sleep(0.2)
            continue
        status, after, content = answer
        identity, state = content.get("transaction_id"), content.get("status")
        if identity:
            purchase.ids.add(identity)
        if status in (200, 202, 409, 502) and identity:
            if purchase.accepted and purchase.accepted != identity:
                purchase.trouble = f"{purchase.accepted} was accepted, then {identity}"
            purchase.accepted = identity
            purchase.end = state if state in ENDS else None
        elif status == 404 and purchase.accepted:
            purchase.trouble = f"{purchase.accepted} was accepted, then 404"
            return
        elif status not in (202, 429, 503):
            purchase.trouble = f"unexpected answer {status}: {content}"
        if purchase.end is None:
            time.sleep(min(after, 0.5))


class Client:
    """Keeps a connection, as browsers do."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def ask(self, method, path, body=None, headers=None):
        """Returns status, Retry-After and the JSON of an answer; None if none came."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_S)
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
            content = json.loads(answer.read() or b"{}")
            return answer.status, float(answer.headers.get("retry-after", 0.2)), content
        except (OSError, ValueError, http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection = None
            return None


class Events:
    """Listens to all events and counts the ends of each saga."""

    def __init__(self, port):
        self.port = port
        self.last_id = None
        self.ends = collections.Counter()
        self.others = collections.Counter()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_S)
                headers = {"last-event-id": self.last_id} if self.last_id else {}
                connection.request("GET", "/saga/events", headers=headers)
                self.read(connection.getresponse())
            except (OSError, ValueError, http.client.HTTPException):
                pass
            time.sleep(0.2)

    def read(self, answer):
        name, identity = None, None
        while line := answer.readline().decode():
            field, _, value = line.rstrip("\n").partition(":")
            value = value.strip()
            if field == "event":
                name = value
            elif field == "id":
                identity = value
            elif field == "data":
                self.take(name, json.loads(value))
            elif not field:
                self.last_id, name = identity or self.last_id, None

    def take(self, name, data):
        if name == "saga" and data.get("ended"):
            self.ends[data["transaction_id"]] += 1
        elif name not in ("saga", "step"):
            self.others[name] += 1
