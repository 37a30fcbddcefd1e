#!/usr/bin/env python3
# SPDX-License-Identifier: PostgreSQL
"""consumer.py URL SUBSCRIPTIONS STATE: prints each event once, and each gap, across restarts."""
import http.client, json, os, random, sys, time, urllib.parse

url, subscribe, path = urllib.parse.urlsplit(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
token = os.environ.get("REALTIME_TOKEN")
headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + token} if token else {})}
new = {"since": None, "seen": [], "merged": False}  # the position, and what came after it
state = json.load(open(path)) if os.path.exists(path) else new

def take(frame):
    global state
    if frame["op"] == "commit":
        state["merged"] |= frame.get("merged", False)
        for event in frame["events"]:
            key = "{tx}/{seq}".format(**event["meta"])
            if key not in state["seen"] or state["merged"]:
                print(json.dumps(event), flush=True)
                state["seen"].append(key)
    elif frame["op"] == "position" or frame["op"] == "subscribed" and state["since"] is None:
        state = {**new, "since": frame["position"], "seen": []}
    elif frame["op"] in ("gap", "error"):
        print(json.dumps(frame), flush=True)
    with open(path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)

while True:
    try:
        connection = connect(url.netloc, timeout=60)
        connection.request("POST", "/v1/events", json.dumps({"subscribe": subscribe, "since": state["since"]}), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(response.read().decode())
        for line in response:
            if line.startswith(b"data:"):
                take(json.loads(line[5:]))
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
    time.sleep(random.uniform(0.2, 2))
