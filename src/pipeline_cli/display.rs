//! Whether a window can open here: reads WAYLAND_DISPLAY and DISPLAY and sees whether anybody answers there, as both are often
//! set on machines without a display (a terminal multiplexer that outlived its session, a service's environment). Opens no
//! window and keeps no connection.

use std::{
    ffi::OsString,
    net::{TcpStream, ToSocketAddrs},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    path::PathBuf,
    time::Duration,
};

/// Where an X server with number 0 listens; the number is added (X(7), "Display names").
const X_PORT: u16 = 6000;
/// The folder of X servers' sockets.
const X_SOCKETS: &str = "/tmp/.X11-unix/X";
/// How long an X server on another machine, or at the other end of an SSH connection, may take to be there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a display listens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A socket in the file system; an X server may listen at an abstract one of that name alone.
    Socket(PathBuf),
    Host(String, u16),
}

/// Whether a display answers.
///
/// # Errors
/// Why there is none, for a person, as a part of a sentence.
pub(super) fn find() -> Result<(), String> {
    find_in(|name| std::env::var_os(name))
}

fn find_in(variable: impl Fn(&str) -> Option<OsString>) -> Result<(), String> {
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned()).filter(|v| !v.is_empty());
    let wayland =
        text("WAYLAND_DISPLAY").map(|name| ("WAYLAND_DISPLAY", wayland(&name, text("XDG_RUNTIME_DIR")), name));
    let x = text("DISPLAY").map(|name| ("DISPLAY", x(&name), name));
    let set: Vec<_> = [wayland, x].into_iter().flatten().collect();
    if set.iter().any(|(_, place, _)| place.as_ref().is_some_and(Place::answers)) {
        return Ok(());
    }
    let dead: Vec<_> = set.iter().map(|(variable, _, name)| format!("{variable}={name}")).collect();
    Err(match dead.as_slice() {
        [] => "neither DISPLAY nor WAYLAND_DISPLAY is set".into(),
        dead => format!("nobody answers at {}", dead.join(" or ")),
    })
}

/// A compositor's socket: a path, or a name in XDG_RUNTIME_DIR (wl_display_connect(3)).
fn wayland(name: &str, runtime_dir: Option<String>) -> Option<Place> {
    if name.starts_with('/') {
        return Some(Place::Socket(name.into()));
    }
    runtime_dir.map(|folder| Place::Socket(PathBuf::from(folder).join(name)))
}

/// `:0`, `:0.1`, `unix:0`, `host:10.0`, or a path, as X(7) has them.
fn x(name: &str) -> Option<Place> {
    if name.starts_with('/') {
        return Some(Place::Socket(name.into()));
    }
    let (host, number) = name.rsplit_once(':')?;
    let number: u16 = number.split('.').next()?.parse().ok()?;
    match host {
        "" | "unix" => Some(Place::Socket(format!("{X_SOCKETS}{number}").into())),
        host => {
            let host = host.trim_start_matches("tcp/").trim_start_matches('[').trim_end_matches(']');
            Some(Place::Host(host.into(), X_PORT.checked_add(number)?))
        }
    }
}

impl Place {
    fn answers(&self) -> bool {
        match self {
            Self::Socket(path) => {
                let by_name = || {
                    let address = SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes());
                    address.is_ok_and(|address| UnixStream::connect_addr(&address).is_ok())
                };
                UnixStream::connect(path).is_ok() || by_name()
            }
            Self::Host(host, port) => {
                let addresses = (host.as_str(), *port).to_socket_addrs().into_iter().flatten();
                // Both families of one host; more would only add up the patience.
                addresses.take(2).any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::unix::net::UnixListener};

    use super::*;

    fn find_with(set: &[(&str, &str)]) -> Result<(), String> {
        find_in(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn names_of_displays_are_read() {
        let socket = |path: &str| Some(Place::Socket(path.into()));
        let host = |host: &str, port| Some(Place::Host(host.into(), port));
        for (name, place) in [
            (":0", socket("/tmp/.X11-unix/X0")),
            (":12.1", socket("/tmp/.X11-unix/X12")),
            ("unix:3", socket("/tmp/.X11-unix/X3")),
            ("/private/tmp/x:0", socket("/private/tmp/x:0")),
            ("localhost:10.0", host("localhost", 6010)),
            ("tcp/far:1", host("far", 6001)),
            ("[::1]:2", host("::1", 6002)),
            ("", None),
            (":", None),
            ("screen", None),
            (":-1", None),
            ("far:65535", None),
        ] {
            assert_eq!(x(name), place, "{name}");
        }
        assert_eq!(wayland("wayland-0", Some("/run/user/1".into())), socket("/run/user/1/wayland-0"));
        assert_eq!(wayland("/a/b", None), socket("/a/b"));
        assert_eq!(wayland("wayland-0", None), None);
    }

    #[test]
    fn a_display_is_there_when_somebody_answers() {
        assert_eq!(find_with(&[]), Err("neither DISPLAY nor WAYLAND_DISPLAY is set".into()));
        assert_eq!(find_with(&[("DISPLAY", "")]), find_with(&[]));
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().to_str().expect("UTF-8");
        let here = [("WAYLAND_DISPLAY", "wl-0"), ("XDG_RUNTIME_DIR", dir), ("DISPLAY", "/nonexistent/x:0")];
        let said = "nobody answers at WAYLAND_DISPLAY=wl-0 or DISPLAY=/nonexistent/x:0";
        assert_eq!(find_with(&here), Err(said.into()));
        let listener = UnixListener::bind(folder.path().join("wl-0")).expect("a socket");
        assert_eq!(find_with(&here), Ok(()));
        // Its file outlives a compositor that died.
        drop(listener);
        assert!(folder.path().join("wl-0").exists());
        assert_eq!(find_with(&here), Err(said.into()));
        let listener =
            (0..2000).find_map(|number| Some((number, TcpListener::bind(("127.0.0.1", X_PORT + number)).ok()?)));
        let (number, listener) = listener.expect("a free port among X servers'");
        let far = format!("127.0.0.1:{number}.0");
        assert_eq!(find_with(&[("DISPLAY", &far)]), Ok(()));
        drop(listener);
        assert_eq!(find_with(&[("DISPLAY", &far)]), Err(format!("nobody answers at DISPLAY={far}")));
    }
}
