"""The plots, as SVG: the median as a line or a bar, the smallest and the largest value as whiskers."""

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

# A fixed salt: ids in the file change only with the figures.
matplotlib.rcParams.update({"svg.hashsalt": "ecommerce", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3})


def draw(results, folder):
    """Draws the plots of the modes that have results and returns the files."""
    drawn = []
    for mode, draw_one in {"throughput": throughput, "replicas": replicas, "growth": growth}.items():
        figure = draw_one(results)
        if figure is not None:
            path = folder / f"bench-{mode}.svg"
            figure.tight_layout()
            figure.savefig(path, metadata={"Date": None})
            pyplot.close(figure)
            drawn.append(path)
    return drawn


def whiskers(figures):
    """Distances of the smallest and the largest from the median, in matplotlib's form."""
    low = [figure["median"] - figure["min"] for figure in figures]
    high = [figure["max"] - figure["median"] for figure in figures]
    return [low, high]


def lines(axes, points, figure_name, factor=1.0, **how):
    figures = [{name: value * factor for name, value in one[figure_name].items()} for one in points.values()]
    places = [int(place) for place in points]
    axes.errorbar(places, [figure["median"] for figure in figures], yerr=whiskers(figures), marker="o", capsize=3, **how)


def throughput(results):
    if "throughput" not in results:
        return None
    found = results["throughput"]["sagas"]
    figure, (rate, latency, cpu) = pyplot.subplots(1, 3, figsize=(13, 4))
    for layout, points in found.items():
        lines(rate, points, "per_s", label=layout)
        lines(latency, points, "p50_us", 1e-3, label=f"{layout}, p50")
        lines(latency, points, "p99_us", 1e-3, label=f"{layout}, p99", linestyle="--")
        lines(cpu, points, "cpu_ms_all", label=layout)
    inserts = results["throughput"]["durable_inserts"]
    if 64 in inserts:
        rows = inserts[64]["rows_per_s"]["median"]
        rate.axhline(rows, color="grey", linestyle=":", label="pgbench, one durable row each")
    for axes, title in [(rate, "sagas a second"), (latency, "milliseconds"), (cpu, "CPU ms a saga, PostgreSQL included")]:
        axes.set_xscale("log", base=2)
        places = [int(place) for place in next(iter(found.values()))]
        axes.set_xticks(places, [str(place) for place in places])
        axes.set(title=title, xlabel="connections")
        axes.legend(fontsize=8)
    latency.set_yscale("log")
    for axes in [rate, cpu]:
        axes.set_ylim(0, None)
    return figure


def replicas(results):
    if "replicas" not in results:
        return None
    figure, (rate, cpu) = pyplot.subplots(1, 2, figsize=(9, 4))
    lines(rate, results["replicas"], "per_s")
    lines(cpu, results["replicas"], "cpu_ms_all")
    for axes, title in [(rate, "sagas a second"), (cpu, "CPU ms a saga, PostgreSQL included")]:
        axes.set(title=title, xlabel="orchestrators on this machine", ylim=(0, None))
        axes.set_xticks([int(place) for place in results["replicas"]])
    return figure


def growth(results):
    """Bars of each variant beside the one that it is compared with."""
    wanted = [
        ("finished", [("none", "fresh log"), ("many", "a million finished")]),
        ("products", [("many products", "10,000 products"), ("one product", "one hot product")]),
        ("failures", [("none", "none refused"), ("half", "half refused")]),
    ]
    there = [(results[mode], bars) for mode, bars in wanted if mode in results]
    if not there:
        return None
    figure, all_axes = pyplot.subplots(2, len(there), figsize=(4 * len(there), 6), squeeze=False)
    for column, (found, bars) in enumerate(there):
        for axes, name, title in [
            (all_axes[0][column], "per_s", "sagas a second"),
            (all_axes[1][column], "cpu_ms_all", "CPU ms a saga"),
        ]:
            figures = [found[key][name] for key, _ in bars]
            axes.bar([label for _, label in bars], [one["median"] for one in figures], yerr=whiskers(figures), capsize=4)
            axes.set(title=title, ylim=(0, None))
    return figure
