"""From a package to the first purchase, as a user in a terminal: `up` in a folder of its own, `order`, Ctrl-C.

    first_purchase.py NAME WORK COMMAND…     COMMAND runs the program; WORK is a folder for data, removed by the caller
"""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import urllib.parse
import urllib.request

SERVICES = ["orchestrator", "catalog", "payments", "inventory", "purchases"]
# Generous: a slow machine is no failure.
PATIENCE_S = 120

name, work, *command = sys.argv[1:]
folder = os.path.join(os.path.realpath(work), name)
# Neither the settings nor the configuration of this machine: what a package brings must be enough.
environment = {key: value for key, value in os.environ.items() if not key.startswith(("ECOMMERCE_", "OTEL_"))}
environment |= {f"ECOMMERCE__SERVICES__{service.upper()}__PORT": "0" for service in SERVICES}


def fail(text):
    raise SystemExit(f"packages: {name}: {text}")


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        if time.monotonic() > end:
            fail(f"{what}: not after {PATIENCE_S} s")
        time.sleep(0.05)
    return result


def read(file):
    with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as lines:
        return lines.read()


def processes():
    """The processes that use the folder: the program by its arguments, PostgreSQL by its data."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in line and int(entry) != os.getpid():
            found[int(entry)] = line.strip()
    return found


def is_open(url):
    address = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except OSError:
        return False
    return True


def terminal():
    """A terminal whose key Ctrl-C reaches the command with all that it starts."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def drain(screen):
    try:
        while os.read(screen, 4096):
            pass
    except OSError:
        pass


os.makedirs(folder)
began = time.monotonic()
screen, keyboard = pty.openpty()
with open(f"{folder}/out", "wb") as out, open(f"{folder}/log", "wb") as log:
    up = subprocess.Popen(
        [*command, "up", "--json", "--data-dir", f"{folder}/data"],
        cwd=folder, env=environment, stdin=keyboard, stdout=out, stderr=log, preexec_fn=terminal,
    )
os.close(keyboard)
threading.Thread(target=drain, args=(screen,), daemon=True).start()
try:
    wait_until("up", lambda: read("out").endswith("\n") or up.poll() is not None)
    if up.poll() is not None:
        fail(f"up ended with {up.returncode}: {read('log')}")
    started = time.monotonic() - began
    running = json.loads(read("out").splitlines()[-1])
    if running["profile"] != "development":
        fail(f"the profile is {running['profile']}")
    services = running["services"]

    with urllib.request.urlopen(services["payments"] + "/debug/faults", timeout=10) as answer:
        rate = json.load(answer)
    if "0.5" not in json.dumps(rate):
        fail(f"the failure lab is off: {rate}")
    with urllib.request.urlopen(services["orchestrator"] + "/ui/", timeout=10) as answer:
        if "<html" not in answer.read().decode().lower():
            fail("there is no dashboard")
    order = subprocess.run(
        [*command, "order", "--json", "--user", "me", "--amount", "9.99", "--target", services["orchestrator"]],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S,
    )
    # 0: completed; 1: the failure lab refused it, and it was reverted.
    if order.returncode not in (0, 1):
        fail(f"order ended with {order.returncode}: {order.stdout}{order.stderr}")
    status = json.loads(order.stdout)["status"]
    if status != ("COMPLETED", "COMPENSATED")[order.returncode]:
        fail(f"order ended with {order.returncode}, and the purchase is {status}")
    bought = time.monotonic() - began

    os.write(screen, b"\x03")
    wait_until("the end after Ctrl-C", lambda: up.poll() is not None)
    # npx ends by the signal of its own once the program has ended.
    if up.returncode not in (0, -signal.SIGINT):
        fail(f"after Ctrl-C up ended with {up.returncode}: {read('log')}")
    wait_until("the end of all processes", lambda: not processes())
    if "PostgreSQL stopped" not in read("log") or "stopping at once" in read("log"):
        fail(f"after Ctrl-C it did not stop in order: {read('log')}")
    if left := [url for url in services.values() if is_open(url)]:
        fail(f"still open after the end: {left}")
finally:
    for process in processes():
        os.kill(process, signal.SIGKILL)
print(f"packages: {name}: up after {started:.1f} s, the first purchase {status} after {bought:.1f} s, gone after Ctrl-C", flush=True)
