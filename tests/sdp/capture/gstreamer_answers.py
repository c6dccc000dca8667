"""Answers as GStreamer's webrtcbin does and counts what comes in; programs.mjs describes the protocol.

Variant "no-bundle" leaves webrtcbin's bundle-policy as it is by itself; otherwise it is max-bundle. Variant "nack" asks for lost
packets again, which webrtcbin does not do by itself.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402


def ask(webrtc, signal, *arguments):
    """The promise and its reply. Whoever uses a value of the reply has to hold both, because the value goes with them."""
    promise = Gst.Promise.new()
    webrtc.emit(signal, *arguments, promise)
    assert promise.wait() == Gst.PromiseResult.REPLIED, f"{signal} is not replied to"
    return promise, promise.get_reply()


class Receiver:
    def __init__(self, variant):
        self.packets = {}
        self.pipeline = Gst.Pipeline.new()
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        if variant != "no-bundle":
            self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        if variant == "nack":
            self.webrtc.connect("on-new-transceiver", lambda _, transceiver: transceiver.set_property("do-nack", True))
        self.webrtc.connect("pad-added", self.take)
        self.gathered = threading.Event()
        self.webrtc.connect("notify::ice-gathering-state", self.look)
        self.pipeline.set_state(Gst.State.PLAYING)

    def look(self, *_):
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def take(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        mid = pad.get_property("transceiver").get_property("mid")
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("sync", False)
        sink.set_property("async", False)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        into = sink.get_static_pad("sink")
        into.add_probe(Gst.PadProbeType.BUFFER, self.count, mid)
        pad.link(into)

    def count(self, _pad, _info, mid):
        self.packets[mid] = self.packets.get(mid, 0) + 1
        return Gst.PadProbeReturn.OK

    def answer(self, offer):
        _, sdp = GstSdp.SDPMessage.new_from_text(offer)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, sdp)
        ask(self.webrtc, "set-remote-description", described)
        _promise, made = ask(self.webrtc, "create-answer", None)
        ask(self.webrtc, "set-local-description", made.get_value("answer"))
        assert self.gathered.wait(20), "webrtcbin does not find its addresses"
        return self.webrtc.get_property("local-description").sdp.as_text()

    def state(self):
        return self.webrtc.get_property("connection-state").value_nick


def main(variant):
    Gst.init(None)
    receiver = Receiver(variant)
    sdp = receiver.answer(json.loads(sys.stdin.readline()))
    print(json.dumps({"version": Gst.version_string(), "sdp": sdp}), flush=True)
    while sys.stdin.readline():
        print(json.dumps({"state": receiver.state(), "packets": receiver.packets}), flush=True)
    receiver.pipeline.set_state(Gst.State.NULL)


main(sys.argv[1] if len(sys.argv) > 1 else "")
