//! `realsense-webrtc healthcheck`: asks the server of the same configuration whether it is healthy, so that a container's
//! health check needs no other program. Owns one request and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Method;

use crate::{
    config::Config,
    error::{Error, Result},
    probe::client::Client,
};

/// One line about the server that `config` describes.
///
/// # Errors
/// Unavailable when it does not answer, or says that no camera backend works.
pub async fn run(config: &Config) -> Result<String> {
    let address = reachable(config.server.listen);
    let reply = Client::new(&format!("http://{address}"), None)?.request(Method::GET, "/health", None).await?;
    let text = |key: &str| reply.body[key].as_str().unwrap_or_default();
    match reply.status {
        200 => Ok(format!("{} {} is healthy", text("service"), text("version"))),
        status => Err(Error::unavailable(format!("{address} answered {status}: {}", text("detail")))),
    }
}

/// An address to connect to for one that a server listens on.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What the check says of a server that answers like this.
    async fn checked(status: &'static str, body: &'static str) -> Result<String> {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::default();
        config.server.listen = format!("0.0.0.0:{}", server.local_addr().unwrap().port()).parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /api/health "));
            let response = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(response.as_bytes()).await.unwrap();
        });
        run(&config).await
    }

    #[tokio::test]
    async fn a_well_server_passes_and_any_other_fails() {
        let well = checked("200 OK", r#"{"service":"realsense-api","version":"1"}"#).await;
        assert_eq!(well.unwrap(), "realsense-api 1 is healthy");
        let degraded = checked("503 Service Unavailable", r#"{"detail":"no camera backend"}"#).await;
        assert!(degraded.unwrap_err().for_log().contains("503: no camera backend"));
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut config = Config::default();
        config.server.listen = free;
        assert!(run(&config).await.is_err());
    }

    #[test]
    fn an_unspecified_address_becomes_loopback() {
        for (listen, expected) in
            [("0.0.0.0:8000", "127.0.0.1:8000"), ("[::]:1", "[::1]:1"), ("192.0.2.1:2", "192.0.2.1:2")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
