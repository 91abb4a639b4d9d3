"""The results as text: tables, and the ratios against their targets."""

import math


def line(name, figures):
    cpu = ", ".join(f"{process} {used:.3f}" for process, used in figures["cpu_ms"].items())
    failed = f"; FAILED {figures['failed']}" if figures["failed"] else ""
    return (
        f"{name}: {figures['per_s']:,.0f}/s, p50 {figures['p50_us'] / 1e3:.2f} ms, p99 {figures['p99_us'] / 1e3:.2f} ms, "
        f"CPU ms each {figures['cpu_ms_all']:.3f} ({cpu}), commits {figures['commits_each']:.2f}, "
        f"flushes {figures['flushes_each']:.2f}{failed}"
    )


def spread(figure, digits=0, factor=1.0):
    median, low, high = (figure[name] * factor for name in ["median", "min", "max"])
    return f"{median:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def throughput(results):
    rows = [["layout", "connections", "sagas/s", "p50 ms", "p99 ms", "CPU ms a saga", "commits", "flushes"]]
    for layout, by_connections in results["sagas"].items():
        for connections, figures in by_connections.items():
            rows.append([
                layout, str(connections), spread(figures["per_s"]), spread(figures["p50_us"], 2, 1e-3),
                spread(figures["p99_us"], 2, 1e-3), spread(figures["cpu_ms_all"], 3),
                spread(figures["commits_each"], 2), spread(figures["flushes_each"], 2),
            ])
    lines = [table(rows), ""]
    for layout, memory in results["peak_memory_bytes"].items():
        lines.append(f"{layout}: peak memory MB: " + ", ".join(f"{name} {spread(used, 0, 1e-6)}" for name, used in memory.items()))
    for layout, seconds in results["start_on_existing_data_s"].items():
        lines.append(f"{layout}: start on existing data {spread(seconds, 2)} s")
    for clients, found in results["durable_inserts"].items():
        lines.append(f"pgbench, {clients} clients: {spread(found['rows_per_s'])} rows/s, {spread(found['latency_ms'], 3)} ms")
    health = results["health_at_64"]
    lines.append(f"GET /health/live/ at 64: {spread(health['per_s'])}/s, {spread(health['cpu_ms']['ecommerce'], 1, 1e3)} µs CPU each")
    return "\n".join(lines)


def table(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def _alone(value):
    """A single value in the form of a figure."""
    return {"median": value, "min": value, "max": value}


def _throughput_ratios(found):
    ratios = found["ratios"]
    for name, ratio, sign, must, aim in [
        ("throughput, one process", "throughput, one process", "≥", 0.25, 0.40),
        ("throughput, five processes", "throughput, five processes", "≥", 0.20, 0.32),
        ("latency: p50 at 1 ÷ pgbench's at 1", "latency, one process", "≤", 11, 7),
        ("tail: p99 ÷ p50 at 256", "tail, one process", "≤", 2, 1.5),
        ("CPU: a saga at 256 ÷ a bare request", "cpu", "≤", 32, 20),
    ]:
        if ratio in ratios:
            yield name, ratios[ratio], sign, must, aim
    one = found["sagas"]["one process"]
    if 256 in one:
        yield "flushes a saga at 256", one[256]["flushes_each"], "≤", 0.5, 0.2


def _ratios(results):
    if "throughput" in results:
        yield from _throughput_ratios(results["throughput"])
    if "in-flight" in results:
        yield "in flight: kB a running saga", _alone(results["in-flight"]["bytes_each"] / 1e3), "≤", 24, 12
    for mode, name, must, aim in [
        ("finished", "growth: with a million finished ÷ with none", 0.9, 1),
        ("products", "hot product: on one ÷ on ten thousand", 0.9, 1),
        ("failures", "failures: half refused ÷ none", 1, 1.3),
    ]:
        if mode in results:
            yield name, results[mode]["ratio"], "≥", must, aim
    if "recovery" in results:
        yield "recovery: s to the last end", results["recovery"]["seconds"], "≤", 10, 4


def targets(results):
    """The ratios of one run, against their limits and aims."""
    rows = [["what", "measured", "must", "aim", ""]]
    for name, measured, sign, must, aim in _ratios(results):
        median = measured["median"]
        reached = lambda bound: median >= bound if sign == "≥" else median <= bound
        verdict = "aim reached" if reached(aim) else "reached" if reached(must) else "MISSED"
        if math.isnan(median):
            verdict = "too short to tell"
        rows.append([name, spread(measured, 2), f"{sign} {must}", f"{sign} {aim}", verdict])
    return table(rows)
