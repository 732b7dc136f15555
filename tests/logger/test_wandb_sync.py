"""What was kept offline reaches a server whole: W&B's own command against one that keeps rows and nothing else."""

import gzip
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.logger.test_wandb import FACTS, clean_environment, drive  # noqa: F401 - a fixture

RESUMED = {**FACTS, "run": {**FACTS["run"], "resumed": True}}


class Server(BaseHTTPRequestHandler):
    """As much of W&B as an upload asks for; ``runs``: by id, the rows of its history."""

    protocol_version = "HTTP/1.1"
    runs: dict

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        said = json.loads(gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw or b"{}")
        if self.path.endswith("graphql"):
            return self.answer({"data": self.graphql(said["query"], said.get("variables") or {})})
        history = (said.get("files") or {}).get("wandb-history.jsonl")
        if "file_stream" in self.path and history:
            rows = self.runs.setdefault(self.path.split("/")[-2], [])
            rows[history["offset"] :] = [json.loads(row) for row in history["content"]]
        return self.answer({})

    def graphql(self, query, variables):
        project = {"id": "cA==", "name": "pgolf", "entity": {"id": "ZQ==", "name": "me"}}
        name = variables.get("name")
        bucket = {"id": "aWQ=", "name": name, "displayName": name, "config": "{}", "sweepName": None}
        if "upsertBucket" in query:
            found = bucket | {"historyLineCount": len(self.runs.get(name, [])), "project": project}
            return {"upsertBucket": {"inserted": name not in self.runs, "bucket": found}}
        if "historyTail" in query:
            rows = self.runs.get(name)
            tail = {"historyTail": json.dumps([json.dumps(row) for row in (rows or [])[-1:]]), "eventsTail": "[]"}
            counts = {"historyLineCount": len(rows or ()), "eventsLineCount": 0, "logLineCount": 0}
            more = {"summaryMetrics": "{}", "wandbConfig": json.dumps({"t": 1}), "tags": []}
            return {"model": {**project, "bucket": bucket | tail | counts | more if rows is not None else None}}
        if "createRunFiles" in query:
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": []}}
        if "viewer" in query:
            return {"viewer": {"id": "dQ==", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        return {"serverInfo": {"cliVersionInfo": {}, "features": []}}

    def answer(self, what):
        raw = json.dumps(what).encode()
        self.send_response(200)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(raw)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_both_parts_of_a_resumed_run_reach_one_run_with_every_row(tmp_path):
    """Some 10 s of a core; that the files hold all of it, test_wandb.py shows."""
    drive(tmp_path, steps=range(30))
    drive(tmp_path, steps=range(20, 40), facts=RESUMED)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.runs = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {**os.environ, "HOME": str(tmp_path), "WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": address}
    command = [sys.executable, "-m", "wandb", "sync", *tmp_path.glob("wandb/offline-run-*")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    server.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    (rows,) = Server.runs.values()
    assert [row["step"] for row in rows] == [*range(30), *range(20, 40)]
    assert [row["_step"] for row in rows] == list(range(50))
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.synced"))) == 2, "they will not be uploaded again"
