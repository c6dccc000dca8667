//! The section about a signalling relay that the server dials out to: its types, and what its address may be.

use http::{Uri, uri::Scheme};
use serde::{Deserialize, Serialize};

/// A signalling relay that the server dials out to, so that viewers reach it with no port open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// Address, `wss://relay.example.org`; empty for none.
    pub url: String,
    /// The name of this robot there, where it has one camera; empty: `robot-` and the camera's serial number.
    pub robot_id: String,
    /// Token that the relay asks for; empty for none.
    pub token: String,
    /// What viewers that come through it may do.
    pub allow: Allow,
}

/// What viewers that come through a relay may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allow {
    /// Watch, switch streams, and have point clouds.
    #[default]
    View,
    /// Also start and stop streams without a viewer.
    Control,
}

/// Where a relay is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address that the WebSocket is opened at.
    pub socket: String,
    /// Host and port, for the log.
    pub host: String,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl Relay {
    /// Where it is reached; `None` when there is none.
    ///
    /// # Errors
    /// A rule that begins with its key.
    pub fn place(&self) -> Result<Option<Place>, String> {
        if self.url.is_empty() {
            return Ok(None);
        }
        let rule = || "relay.url must be empty or look like wss://HOST or wss://HOST:PORT, without a path".to_owned();
        let url: Uri = self.url.parse().map_err(|_| rule())?;
        let encrypted = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS || scheme.as_str() == "wss" => true,
            Some(scheme) if *scheme == Scheme::HTTP || scheme.as_str() == "ws" => false,
            _ => return Err(rule()),
        };
        let host = url.authority().map_or("", |authority| authority.as_str());
        let names_host = url.host().is_some_and(|name| !name.is_empty()) && !host.contains('@');
        let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map(|(_, port)| port.parse::<u16>());
        let good_port = port.is_none_or(|port| port.is_ok_and(|port| port > 0));
        if !names_host || !good_port || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(rule());
        }
        if encrypted && host.starts_with('[') {
            return Err("relay.url must name the relay by a host name or an IPv4 address where it is wss://".into());
        }
        let scheme = if encrypted { "wss" } else { "ws" };
        // Engine.IO 4 over WebSocket at Socket.IO's default path.
        let socket = format!("{scheme}://{host}/socket.io/?EIO=4&transport=websocket");
        Ok(Some(Place { socket, host: host.to_owned(), encrypted }))
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// A rule that begins with its key.
    pub(super) fn validate(&self) -> Result<(), String> {
        self.place()?;
        let short = |text: &str| text.len() <= 200 && !text.chars().any(char::is_control);
        if short(&self.robot_id) { Ok(()) } else { Err("relay.robot_id must be one line of at most 200 bytes".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Option<Place>, String> {
        Relay { url: url.into(), ..Relay::default() }.place()
    }

    #[test]
    fn addresses_become_the_place_of_the_socket() {
        assert_eq!(place(""), Ok(None));
        for (url, socket) in [
            ("wss://relay.example.org", "wss://relay.example.org/socket.io/?EIO=4&transport=websocket"),
            ("https://relay.example.org/", "wss://relay.example.org/socket.io/?EIO=4&transport=websocket"),
            ("ws://127.0.0.1:3001", "ws://127.0.0.1:3001/socket.io/?EIO=4&transport=websocket"),
            ("http://[::1]:3001", "ws://[::1]:3001/socket.io/?EIO=4&transport=websocket"),
        ] {
            let place = place(url).expect(url).expect(url);
            assert_eq!((place.socket.as_str(), place.encrypted), (socket, socket.starts_with("wss")), "{url}");
        }
    }

    #[test]
    fn other_addresses_are_refused_in_words() {
        for url in [
            "relay.example.org",
            "relay",
            "ftp://relay",
            "wss://",
            "wss://relay/robots",
            "wss://relay?x=1",
            "wss://user:secret@relay",
            "wss://[fd00::1]",
            "wss://relay:0",
            "wss://relay:70000",
            "wss://re lay",
        ] {
            let rule = place(url).expect_err(url);
            assert!(rule.starts_with("relay.url must") && !rule.contains("secret"), "{rule}");
        }
    }
}
