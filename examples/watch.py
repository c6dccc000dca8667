#!/usr/bin/env python3
"""Watches streams of a realsense-webrtc server in Python.

    python3 watch.py http://127.0.0.1:8000 color,depth

Prints a line for every 30th frame of each stream. With --frames N it ends after N frames of each. A token is taken from the
environment, REALSENSE_WEBRTC_TOKEN.
"""

import argparse
import asyncio
import json
import os
import urllib.error
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError


def ask(url, body=None):
    """Sends a request to the server and returns its answer; an error's body says what to do."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("REALSENSE_WEBRTC_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.read().decode()}") from error


def on_frame(stream, frame):
    """Put your own work here. It must be quick: a frame comes every 33 ms.

    frame.to_ndarray(format="bgr24") is an OpenCV image of shape (height, width, 3). Depth is a coloured picture, not metres.
    """


async def receive(stream, track, frames):
    """Takes a stream's frames until there were enough, or the session ends."""
    count = 0
    while frames is None or count < frames:
        try:
            frame = await track.recv()
        except MediaStreamError:
            raise SystemExit(f"The server ended the session after {count} frames of {stream}.") from None
        on_frame(stream, frame)
        count += 1
        if count % 30 == 0:
            print(f"{stream} {count} {frame.width}x{frame.height}", flush=True)


async def main():
    parser = argparse.ArgumentParser(description="Watches streams of a realsense-webrtc server.")
    parser.add_argument("server", help="its address, such as http://127.0.0.1:8000")
    parser.add_argument("streams", nargs="?", default="color", help="such as color,depth,infrared-1")
    parser.add_argument("--device", metavar="SERIAL", help="the camera's serial number; the first camera unless said")
    parser.add_argument("--frames", type=int, help="frames of each stream, then it ends")
    options = parser.parse_args()
    api = options.server.rstrip("/") + "/api"
    streams = options.streams.split(",")

    devices = ask(f"{api}/devices/")
    if not devices:
        raise SystemExit("The server has no camera.")
    # The server makes the offer. Its ICE candidates are in it already, and ours are in the answer, so that is all.
    device = options.device or devices[0]["device_id"]
    offer = ask(f"{api}/webrtc/offer", {"device_id": device, "stream_types": streams})
    peer = RTCPeerConnection()
    tracks = []  # in the order of the streams
    peer.on("track", tracks.append)
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
        await peer.setLocalDescription(await peer.createAnswer())
        answer = {"session_id": offer["session_id"], "sdp": peer.localDescription.sdp, "type": "answer"}
        ask(f"{api}/webrtc/answer", answer)
        if len(tracks) != len(streams):
            raise SystemExit(f"{len(tracks)} of {len(streams)} streams can be received.")
        await asyncio.gather(*(receive(stream, track, options.frames) for stream, track in zip(streams, tracks)))
    finally:
        await peer.close()


asyncio.run(main())
