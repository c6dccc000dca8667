# realsense-webrtc with everything it needs to run: GStreamer, librealsense, no root. docs/guide/operate/docker.md explains its use.
#
#   docker build -t realsense-webrtc .                                  Debian 13, GStreamer 1.26
#   docker build -t realsense-webrtc:bookworm --target bookworm .       Debian 12, GStreamer 1.22
#   docker build -t realsense-webrtc-test --target test .               tools for scripts/test.sh, see the guide
#
# Needs BuildKit, which Docker has had switched on since version 23. scripts/prove_image.sh builds and tries all of it.

# Oldest that will do: rust-version in Cargo.toml.
ARG RUST_VERSION=1.95
# One of those that scripts/get_librealsense.sh knows.
ARG LIBREALSENSE_VERSION=2.56.5.9235
# Of the target "test" only.
ARG DEBIAN=trixie

# --- The camera's library, from the vendor's wheel -------------------------------------------------------------------------
FROM debian:bookworm-slim AS librealsense
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
      binutils ca-certificates gcc libc6-dev libudev1 libusb-1.0-0 patchelf python3-pip \
    && rm -rf /var/lib/apt/lists/*
COPY scripts/get_librealsense.sh /src/scripts/
ARG LIBREALSENSE_VERSION
RUN /src/scripts/get_librealsense.sh "$LIBREALSENSE_VERSION" /opt/librealsense

# --- The program, built once on the older Debian: it runs on the newer one too ------------------------------------------------
FROM rust:${RUST_VERSION}-slim-bookworm AS build
# libgstreamer-plugins-bad1.0-0 instead of its -dev package: see docs/decisions.md.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
      gcc libc6-dev libgstreamer-plugins-bad1.0-0 libgstreamer-plugins-base1.0-dev libgstreamer1.0-dev libssl-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY scripts/env.sh scripts/
COPY Cargo.toml Cargo.lock ./
COPY pipelines pipelines
COPY www www
COPY src src
# The caches outlive the layer, so that a change of the source builds that source only.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    . scripts/env.sh \
    && cargo build --release --locked --bin realsense-webrtc \
    && install -D -t /out target/release/realsense-webrtc

# --- What running needs: some plugins out of GStreamer's packages, and the libraries these and the program load ---------------
# The whole packages are five times larger, by what the other plugins want: LLVM, GTK, speech synthesis …
FROM debian:trixie-slim AS runtime-trixie
COPY scripts/collect_runtime.sh /src/scripts/
RUN dpkg-query -W > /base-packages \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
      gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly \
      libudev1 libusb-1.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=librealsense /opt/librealsense/lib /opt/librealsense/lib
COPY --from=build /out/realsense-webrtc /usr/local/bin/
RUN /src/scripts/collect_runtime.sh /runtime /base-packages

FROM debian:bookworm-slim AS runtime-bookworm
COPY scripts/collect_runtime.sh /src/scripts/
RUN dpkg-query -W > /base-packages \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
      gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly \
      libudev1 libusb-1.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=librealsense /opt/librealsense/lib /opt/librealsense/lib
COPY --from=build /out/realsense-webrtc /usr/local/bin/
RUN /src/scripts/collect_runtime.sh /runtime /base-packages

# --- scripts/test.sh's tools, on either Debian: docker build --target test --build-arg DEBIAN=bookworm . -----------------------
FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS test
# Everything is compiled once; what incremental builds keep would only take gigabytes.
ENV CARGO_INCREMENTAL=0
WORKDIR /src
COPY Cargo.toml ./
COPY scripts/common.sh scripts/install_deps.sh scripts/env.sh scripts/
COPY tests/browser/package.json tests/browser/package-lock.json tests/browser/
RUN scripts/install_deps.sh --test && rm -rf /var/lib/apt/lists/*
COPY scripts/get_librealsense.sh scripts/
RUN scripts/get_librealsense.sh --all
COPY . .
# So that the suite needs no network: the crates; and the browser drivers count as newer than the copied list of them.
RUN cargo fetch --locked && touch tests/browser/node_modules/.package-lock.json
# The browsers refuse the 64 MB of shared memory that Docker gives by default: docker run --shm-size 1g …
CMD ["scripts/test.sh"]

# --- The images ------------------------------------------------------------------------------------------------------------
FROM scratch AS files
COPY --from=librealsense /opt/librealsense/lib /opt/librealsense/lib
# Whom the server trusts when it dials out to a relay.
COPY --from=librealsense /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/realsense-webrtc /usr/local/bin/
COPY realsense-webrtc.toml /etc/realsense-webrtc/
COPY pipelines /etc/realsense-webrtc/pipelines
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/realsense-webrtc/
# GStreamer's registry of plugins goes here.
WORKDIR /usr/local/share/realsense-webrtc

FROM debian:bookworm-slim AS bookworm
COPY --from=runtime-bookworm /runtime /
COPY --from=files / /
# The environment wins over the configuration file, so that a file of one's own need not repeat these.
ENV REALSENSE_WEBRTC__SERVER__LISTEN=0.0.0.0:8000 \
    REALSENSE_WEBRTC__PIPELINES__DIR=/etc/realsense-webrtc/pipelines \
    REALSENSE_WEBRTC__RECORDING__DIR=/var/lib/realsense-webrtc/recordings \
    REALSENSE_WEBRTC__REALSENSE__LIBRARY=/opt/librealsense/lib/librealsense2.so \
    GST_REGISTRY=/usr/local/share/realsense-webrtc/gstreamer-registry.bin
# Groups: video owns /dev/video*, plugdev the USB devices (scripts/install_udev_rules.sh). Their numbers are those of Debian
# and Ubuntu; for other hosts compose.yaml adds theirs. --version makes GStreamer write its registry, once for all starts.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --groups video,plugdev realsense \
    && install -d -o realsense -g realsense /var/lib/realsense-webrtc/recordings \
    && ldconfig \
    && realsense-webrtc --version
USER 10001
WORKDIR /var/lib/realsense-webrtc
VOLUME ["/var/lib/realsense-webrtc/recordings"]
EXPOSE 8000/tcp
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["realsense-webrtc", "--config", "/etc/realsense-webrtc/realsense-webrtc.toml", "healthcheck"]
ENTRYPOINT ["realsense-webrtc", "--config", "/etc/realsense-webrtc/realsense-webrtc.toml"]

# The same on Debian 13. The last stage is what a build without --target makes.
FROM debian:trixie-slim AS trixie
COPY --from=runtime-trixie /runtime /
COPY --from=files / /
ENV REALSENSE_WEBRTC__SERVER__LISTEN=0.0.0.0:8000 \
    REALSENSE_WEBRTC__PIPELINES__DIR=/etc/realsense-webrtc/pipelines \
    REALSENSE_WEBRTC__RECORDING__DIR=/var/lib/realsense-webrtc/recordings \
    REALSENSE_WEBRTC__REALSENSE__LIBRARY=/opt/librealsense/lib/librealsense2.so \
    GST_REGISTRY=/usr/local/share/realsense-webrtc/gstreamer-registry.bin
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --groups video,plugdev realsense \
    && install -d -o realsense -g realsense /var/lib/realsense-webrtc/recordings \
    && ldconfig \
    && realsense-webrtc --version
USER 10001
WORKDIR /var/lib/realsense-webrtc
VOLUME ["/var/lib/realsense-webrtc/recordings"]
EXPOSE 8000/tcp
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["realsense-webrtc", "--config", "/etc/realsense-webrtc/realsense-webrtc.toml", "healthcheck"]
ENTRYPOINT ["realsense-webrtc", "--config", "/etc/realsense-webrtc/realsense-webrtc.toml"]
