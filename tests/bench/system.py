"""The system, in one process or in five, on free ports, with the profile `bench`."""

import os
import signal
import subprocess
import time
import urllib.request

from postgres import free_port, free_ports

SERVICES = ["catalog", "payments", "inventory", "purchases", "orchestrator"]
START_S = 60


class System:
    """Processes by name; further orchestrators are called `orchestrator 2` and so on."""

    def __init__(self, bench, layout, settings):
        self.bench = bench
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.processes = {}
        self.layout = layout
        # Ignore settings in the developer's environment.
        own = {name: value for name, value in os.environ.items() if not name.startswith("ECOMMERCE_")}
        self.environment = own | {"ECOMMERCE_PROFILE": "bench", "ECOMMERCE__DATABASE__URL": bench.postgres.url}
        self.environment |= {f"ECOMMERCE__SERVICES__{name.upper()}__PORT": str(port) for name, port in self.ports.items()}
        self.environment |= {f"ECOMMERCE__{key.upper()}": str(value) for key, value in settings.items()}

    def __enter__(self):
        try:
            subprocess.run([self.bench.program, "migrate"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
            began = time.monotonic()
            if self.layout == "one process":
                self.start("ecommerce", "up")
            else:
                for service in SERVICES:
                    self.start(service, "serve", service)
            for service in SERVICES:
                self.wait(self.url(service))
            self.start_s = time.monotonic() - began
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        for name, process in self.processes.items():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                print(f"bench: {name} does not stop", flush=True)
                process.kill()
                process.wait()

    def start(self, name, *command):
        log = open(self.bench.folder / f"{name}.log", "ab")
        with log:
            self.processes[name] = subprocess.Popen([self.bench.program, *command], env=self.environment, stdout=log, stderr=log)

    def add_orchestrator(self):
        """Starts another orchestrator and returns its URL."""
        name, port = f"orchestrator {sum('orchestrator' in name for name in self.processes) + 1}", free_port()
        self.start(name, "serve", "orchestrator", "--port", str(port))
        url = f"http://127.0.0.1:{port}"
        self.wait(url)
        return url

    def url(self, service="orchestrator"):
        return f"http://127.0.0.1:{self.ports[service]}"

    def wait(self, url):
        """Waits until a service reports itself healthy."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            gone = [name for name, process in self.processes.items() if process.poll() is not None]
            if gone:
                raise SystemExit(f"bench: {gone[0]} ended:\n" + (self.bench.folder / f"{gone[0]}.log").read_text()[-2000:])
            try:
                with urllib.request.urlopen(url + "/health/", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"bench: {url} does not become healthy")

    def kill(self):
        """Kills all processes at once, like a power cut; the database keeps running."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()
