"""Reads cases as JSON lines {file, secret, headers, body (hex), now?, parts?}, asks the function verify() of each file,
and writes for each case {accepted}, or {error} where it did not say yes or no."""

import functools
import importlib.util
import json
import sys


@functools.cache
def load(file):
    spec = importlib.util.spec_from_file_location("snippet", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ask(case):
    options = {name: case[name] for name in ("now", "parts") if name in case}
    try:
        accepted = load(case["file"]).verify(case["secret"], case["headers"], bytes.fromhex(case["body"]), **options)
    except Exception as error:
        return {"error": repr(error)}
    return {"accepted": accepted} if isinstance(accepted, bool) else {"error": f"it answered {accepted!r}"}


for line in sys.stdin:
    print(json.dumps(ask(json.loads(line))))
