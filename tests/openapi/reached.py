#!/usr/bin/env python3
"""Whether each operation of the OpenAPI document was answered with success at least once: else the check above it saw refusals only.

    reached.py OPENAPI.json METRICS.txt

METRICS.txt is what the server counted of its requests. Fails with the operations that never succeeded.
"""

import json
import re
import sys

# These need the vendor's library, a recording that plays, or an answer that fits an offer; other tests have them.
NEVER = {
    ("POST", "/api/webrtc/answer"),
    ("GET", "/api/devices/{device_id}/preset"),
    ("POST", "/api/devices/{device_id}/preset"),
    ("POST", "/api/devices/{device_id}/recording/start"),
    ("POST", "/api/devices/{device_id}/recording/stop"),
    ("GET", "/api/recordings/{name}"),
    ("DELETE", "/api/recordings/{name}"),
    ("POST", "/api/recordings/{name}/open"),
}

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
with open(sys.argv[2], encoding="utf-8") as file:
    counted = set(re.findall(r'http_requests_total\{method="(\w+)",route="([^"]+)",status="2xx"\}', file.read()))
operations = [
    (method.upper(), route, operation)
    for route, methods in document["paths"].items()
    for method, operation in methods.items()
    if method != "parameters"
]
# What the server does not do has no success.
known = {(method, route) for method, route, operation in operations if any(status.startswith("2") for status in operation["responses"])}
expected = {one for one in known - NEVER if "/playback/" not in one[1]}
missed = sorted(expected - counted)
for method, route in missed:
    print(f"{method} {route} was never answered with success; tests/openapi/schemathesis.toml should name what exists.")
print(f"{len(known & counted)} of {len(known)} operations were answered with success.")
sys.exit(1 if missed else 0)
