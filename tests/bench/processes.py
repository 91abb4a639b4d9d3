"""CPU time and memory of processes, from /proc."""

import os
import pathlib

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    # The name may contain spaces and parentheses; the fields after its last parenthesis start with the third.
    return text.rpartition(")")[2].split()


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(_stat(entry.name)[1]) == pid:
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def cpu_s(pid, with_children=False):
    """CPU seconds of a process, and with with_children those of its children, ended ones included."""
    fields = _stat(pid)
    used, of_gone = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    if not with_children:
        return used / TICKS_PER_S
    total = (used + of_gone) / TICKS_PER_S
    for child in children(pid):
        try:
            total += cpu_s(child)
        except (FileNotFoundError, ProcessLookupError):
            # It has just ended; its parent's next count includes it.
            pass
    return total


def memory_bytes(pid, field):
    """Resident memory: `VmHWM` is the peak, `VmRSS` the current value."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)
