"""Submits one saga with dtmcli, unchanged, and prints what the client made of it.

    client.py SERVER BRANCHES CASE     CASE: a JSON object
"""

import json
import sys

from dtmcli import saga, utils

server, branches, case = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
gid = case.get("gid") or utils.gen_gid(server)
trans = saga.Saga(server, gid)
for name in case["steps"]:
    trans.add({"of": name}, f"{branches}/{name}", f"{branches}/{name}/undo")
for member, value in case.get("set", {}).items():
    setattr(trans.trans_base, member, value)
try:
    trans.submit()
    result = "done"
except utils.DTMFailureError:
    result = "failure"
except Exception as error:  # The client has no class of its own for other answers.
    result = str(error)
print(json.dumps({"gid": gid, "result": result}))
