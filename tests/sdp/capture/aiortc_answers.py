"""Answers as aiortc does and counts what comes in; programs.mjs describes the protocol.

Variants: "first-inactive", "second-inactive".
"""

import asyncio
import json
import sys

import aiortc


async def count(track, seen, mid):
    while True:
        await track.recv()
        seen[mid] = seen.get(mid, 0) + 1


async def received(peer, frames):
    packets = {}
    for transceiver in peer.getTransceivers():
        for report in (await transceiver.receiver.getStats()).values():
            if report.type == "inbound-rtp":
                packets[transceiver.mid] = report.packetsReceived
    return {"state": peer.connectionState, "packets": packets, "frames": frames}


async def main(variant):
    loop = asyncio.get_running_loop()
    peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    frames, tasks, tracks = {}, [], []
    peer.on("track", tracks.append)
    offer = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    await peer.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
    for index, which in enumerate(("first", "second")):
        if variant == f"{which}-inactive":
            peer.getTransceivers()[index].direction = "inactive"
    await peer.setLocalDescription(await peer.createAnswer())
    for transceiver in peer.getTransceivers():
        if transceiver.receiver.track in tracks:
            tasks.append(asyncio.ensure_future(count(transceiver.receiver.track, frames, transceiver.mid)))
    print(json.dumps({"version": f"aiortc {aiortc.__version__}", "sdp": peer.localDescription.sdp}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await received(peer, frames)), flush=True)
    for task in tasks:
        task.cancel()
    await peer.close()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
