#!/usr/bin/env python3
"""A worker for BuildGrid: leases from its Bots service, run by buildbox-run (on PATH).

worker.py ENDPOINT CAS_URL NAME [KEY=VALUE...] -- [ARGUMENT OF buildbox-run...]
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2, bots_pb2_grpc
from buildgrid._protos.google.rpc import status_pb2

endpoint, cas, name = sys.argv[1:4]
rest = sys.argv[4:]
properties = [pair.split("=", 1) for pair in rest[: rest.index("--")]]
runner = ["buildbox-run", "--remote=" + cas, *rest[rest.index("--") + 1 :]]


class Job:
    """One lease, run in a thread of its own."""

    def __init__(self, lease):
        self.action = remote_execution_pb2.Action()
        lease.payload.Unpack(self.action)
        self.process = None
        self.ended = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            action, result = folder + "/action", folder + "/result"
            with open(action, "wb") as file:
                file.write(self.action.SerializeToString())
            command = [*runner, "--action=" + action, "--action-result=" + result]
            self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
            said = self.process.stderr.read().decode(errors="replace")
            self.process.wait()
            status = read(result + ".error-status", status_pb2.Status())
            made = read(result, remote_execution_pb2.ActionResult())
            if made is not None:
                made.execution_metadata.worker = name
            if status is None and made is None:
                status = status_pb2.Status(code=13, message=said[-500:])
            self.ended = (status or status_pb2.Status(), made)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
        self.thread.join()


def read(path, message):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        message.ParseFromString(file.read())
    return message


bots = bots_pb2_grpc.BotsStub(grpc.insecure_channel(endpoint))
session = bots_pb2.BotSession(bot_id=name, status=bots_pb2.OK)
device = session.worker.devices.add(handle="device")
for key, value in properties:
    device.properties.add(key=key, value=value)
session = bots.CreateBotSession(bots_pb2.CreateBotSessionRequest(bot_session=session), timeout=30)
print("ready", flush=True)
jobs = {}
while True:
    for lease in session.leases:
        if lease.id not in jobs and lease.state == bots_pb2.ACTIVE:
            jobs[lease.id] = Job(lease)
    wanted = {lease.id for lease in session.leases}
    for gone in [lease for lease in jobs if lease not in wanted]:
        jobs.pop(gone).stop()
    for lease in session.leases:
        job = jobs.get(lease.id)
        if job and job.ended:
            status, made = job.ended
            lease.state = bots_pb2.COMPLETED
            lease.status.CopyFrom(status)
            if made is not None:
                lease.result.Pack(made)
    request = bots_pb2.UpdateBotSessionRequest(name=session.name, bot_session=session)
    try:
        session = bots.UpdateBotSession(request, timeout=2 if session.leases else 20)
    except grpc.RpcError as error:
        time.sleep(0.3)
        if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.ABORTED):
            sys.exit(f"session lost: {error.details()}")
    if session.leases:
        time.sleep(0.1)
