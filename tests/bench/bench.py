"""The context of all modes: the server, the settings of this benchmark, and a way to start systems."""

import contextlib

from system import System


def numbers(text):
    return [int(number) for number in text.split(",")]


class Bench:
    def __init__(self, given, postgres, folder):
        self.postgres = postgres
        self.folder = folder
        self.program = given.program
        self.quick = given.quick
        self.seconds = 2 if given.quick else given.seconds
        self.warm_up_seconds = 1 if given.quick else 3
        self.runs = 1 if given.quick else given.runs
        self.connections = numbers(given.connections or "1,16,64,256,1024")
        # Of two systems in turns, which takes longer.
        self.compared_connections = numbers(given.connections or "1,64,256")
        self.pairs = 2 if given.quick else given.pairs

    def size(self, number):
        """The number, or a hundredth of it with --quick."""
        return number // 100 if self.quick else number

    @contextlib.contextmanager
    def system(self, layout="one process", fresh=True, **settings):
        """A running system, with fresh data by default; settings as `faults__payments__charge__failure_rate=0.5`."""
        if fresh:
            self.postgres.drop_databases()
        with System(self, layout, settings) as system:
            yield system
