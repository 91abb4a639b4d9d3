"""Load in a closed loop, by wrk: each connection has one request in flight."""

import json
import pathlib
import subprocess
import tempfile

# Prints wrk's results as JSON, in microseconds. With several products each purchase names a random one.
SCRIPT = """
local products = %(products)d
wrk.method = "%(method)s"
wrk.headers["Content-Type"] = "application/json"
%(headers)s
local function body()
  if products == 0 then return '{"user_id":"bench","amount":9.99}' end
  return '{"user_id":"bench","amount":9.99,"product_id":' .. math.random(products) .. '}'
end
function init(args)
  math.randomseed(tonumber(tostring({}):sub(8)) or os.time())
  if wrk.method == "POST" then wrk.body = body() end
end
if wrk.method == "POST" and products > 1 then
  function request() return wrk.format(nil, nil, nil, body()) end
end
function done(summary, latency, requests)
  io.write(string.format(
    'JSON{"requests":%%d,"duration_us":%%d,"p50_us":%%d,"p99_us":%%d,"max_us":%%d,"other_status":%%d,"failed":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


def start(url, connections, seconds, method="GET", products=0, headers=None):
    """Starts wrk. products: 0 leaves the choice to the catalog, 1 names product 1, n names a random one of n."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in (headers or {}).items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False) as file:
        file.write(SCRIPT % {"method": method, "products": products, "headers": lines})
    command = ["wrk", "-t", str(min(connections, 2)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s"]
    wrk = subprocess.Popen([*command, "-s", file.name, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return wrk, pathlib.Path(file.name)


def finish(started):
    wrk, script = started
    out, error = wrk.communicate()
    script.unlink()
    found = [line[4:] for line in out.splitlines() if line.startswith("JSON")]
    if not found:
        raise SystemExit(f"bench: wrk: {out}{error}")
    told = json.loads(found[0])
    return told | {"per_s": told["requests"] * 1e6 / told["duration_us"]}


def run(url, connections, seconds, **how):
    return finish(start(url, connections, seconds, **how))


def buy(system, connections, seconds, products=0, headers=None):
    return run(system.url() + "/saga/transaction", connections, seconds, method="POST", products=products, headers=headers)
