"""Three machines and a client on one network, made of network namespaces.

The caller's own namespace is the client's; it has the bridge. A machine that is taken away answers nothing, as in most
clouds: packets to it vanish, so no connection is reset or refused.
"""

import os
import pathlib
import signal
import subprocess
import time

CLIENT = "10.77.0.1"
NAMES = ["n1", "n2", "n3"]


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def set_up():
    # A mount of our own, so that the names of the namespaces stay in here.
    pathlib.Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
    ip("link", "set", "lo", "up")
    ip("link", "add", "bridge", "type", "bridge")
    ip("address", "add", f"{CLIENT}/24", "dev", "bridge")
    ip("link", "set", "bridge", "up")


def address(name):
    return f"10.77.0.1{NAMES.index(name) + 1}"


def plug_in(name):
    """Makes a machine without processes and connects it."""
    hardware = f"02:00:00:00:00:1{NAMES.index(name) + 1}"
    ip("netns", "add", name)
    ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "address", hardware, "netns", name)
    ip("link", "set", f"to-{name}", "master", "bridge")
    ip("link", "set", f"to-{name}", "up")
    ip("-n", name, "address", "add", f"{address(name)}/24", "dev", "eth0")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "link", "set", "eth0", "up")
    # Without a fixed entry the kernel would report a missing machine after three seconds.
    ip("neighbour", "replace", address(name), "lladdr", hardware, "nud", "permanent", "dev", "bridge")


def cut_off(name):
    """Drops all packets from and to a machine whose processes go on."""
    ip("link", "set", f"to-{name}", "down")


def connect(name):
    ip("link", "set", f"to-{name}", "up")


def power_off(name):
    """Takes a machine away at once: no packet of its end reaches the others."""
    cut_off(name)
    kill(processes(name))
    # Deleting the namespace also drops the sockets of the killed processes.
    ip("link", "delete", f"to-{name}")
    ip("netns", "delete", name)


def processes(name):
    found = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 10
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > end:
            raise RuntimeError(f"processes survive SIGKILL: {pids}")
        time.sleep(0.01)


def is_running(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def start(command, log, name=None, **options):
    """Starts a program, on a machine and as `postgres` if one is named."""
    if name:
        account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        command = ["nsenter", f"--net=/run/netns/{name}", *account, *command]
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
