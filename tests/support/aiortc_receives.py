"""Receives streams from a server with aiortc, as the scripts of the servers that this one replaces do.

    aiortc_receives.py http://HOST:PORT STREAM[,STREAM]…

Prints one line per stream, "STREAM FRAMES WIDTHxHEIGHT", once each has given enough decoded frames; fails after LIMIT seconds.
"""

import asyncio
import json
import sys
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription

FRAMES = 60
LIMIT = 30


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=LIMIT) as reply:
        return json.load(reply)


async def take(track):
    for _ in range(FRAMES):
        frame = await track.recv()
    return f"{FRAMES} {frame.width}x{frame.height}"


async def main(base, streams):
    device = call(f"{base}/api/devices/")[0]["device_id"]
    offer = call(f"{base}/api/webrtc/offer", {"device_id": device, "stream_types": streams})
    peer = RTCPeerConnection()
    tracks = []
    peer.on("track", tracks.append)
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        answer = {"session_id": offer["session_id"], "sdp": peer.localDescription.sdp, "type": "answer"}
        call(f"{base}/api/webrtc/answer", answer)
        assert len(tracks) == len(streams), f"{len(tracks)} tracks for {streams}"
        for stream, seen in zip(streams, await asyncio.wait_for(asyncio.gather(*map(take, tracks)), LIMIT)):
            print(stream, seen)
    finally:
        await peer.close()


asyncio.run(main(sys.argv[1], sys.argv[2].split(",")))
