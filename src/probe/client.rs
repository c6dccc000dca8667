//! A tiny client of the wire contract. Owns one TCP connection per request and nothing else; relies on documented fields
//! only, so that it works against any server of the contract. Speaks plain `http://`: put a TLS proxy's inner side, or an
//! SSH tunnel, where the server is behind https.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use crate::error::{Error, Result};

/// How long a request may take. An offer may have to start a camera, which real ones take up to 15 s for.
const REQUEST_LIMIT: Duration = Duration::from_secs(25);

/// Largest response read.
const RESPONSE_LIMIT: usize = 8 << 20;

/// Reference counts of one device by stream type.
pub type References = BTreeMap<String, u64>;

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    host: String,
    port: u16,
    prefix: String,
    token: Option<String>,
}

/// A server's answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The JSON body; null when there was none or it was not JSON.
    pub body: Value,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// Time from connecting to the last byte.
    pub took: Duration,
}

/// An offer as the contract defines it.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The session.
    pub session: String,
    /// The server's offer.
    pub sdp: String,
}

/// A session as the contract defines it; only what the probe reads.
#[derive(Debug, Clone)]
pub struct Session {
    /// Id.
    pub session: String,
    /// DTLS is up.
    pub connected: bool,
    /// Media has flowed in the last seconds.
    pub streaming: bool,
    /// Stream types.
    pub stream_types: Vec<String>,
}

impl Client {
    /// A client for `http://host[:port][/prefix]`; the prefix is `/api` unless given.
    ///
    /// # Errors
    /// Invalid for anything but an `http://` address.
    pub fn new(url: &str, token: Option<String>) -> Result<Self> {
        let uri: Uri = url.parse().map_err(|error| Error::invalid(format!("{url} is no address: {error}.")))?;
        if uri.scheme_str() != Some("http") {
            return Err(Error::invalid(format!(
                "{url}: the probe speaks http:// only, for example http://127.0.0.1:8000."
            )));
        }
        let host = uri.host().ok_or_else(|| Error::invalid(format!("{url} names no host.")))?;
        let prefix = match uri.path().trim_end_matches('/') {
            "" => "/api",
            path => path,
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).into(),
            port: uri.port_u16().unwrap_or(80),
            prefix: prefix.into(),
            token,
        })
    }

    /// Host name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a request with an optional JSON body and gives whatever came back.
    ///
    /// # Errors
    /// Unavailable when the server cannot be reached, breaks off or takes too long.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply> {
        let body = body.map(|body| (body.to_string().into_bytes(), "application/json"));
        self.raw(method, path, body).await
    }

    /// Sends a request with any bytes as its body.
    ///
    /// # Errors
    /// Unavailable when the server cannot be reached, breaks off or takes too long.
    pub async fn raw(&self, method: Method, path: &str, body: Option<(Vec<u8>, &str)>) -> Result<Reply> {
        let what = format!("{method} {path}");
        match timeout(REQUEST_LIMIT, self.exchange(method, path, body)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Error::unavailable(format!(
                "{what} at {}:{} failed: {error:#}. Is the server running there? Its address is given by --url, to healthcheck \
                 by --listen or its configuration.",
                self.host, self.port
            ))),
            Err(_) => Err(Error::unavailable(format!("{what} took longer than {REQUEST_LIMIT:?}."))),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<(Vec<u8>, &str)>) -> anyhow::Result<Reply> {
        let started = Instant::now();
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(header::USER_AGENT, concat!("realsense-webrtc-probe/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some((bytes, content_type)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                Bytes::from(bytes)
            }
            None => Bytes::new(),
        };
        let exchange = async {
            let response = sender.send_request(request.body(Full::new(bytes))?).await?;
            let status = response.status().as_u16();
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(String::from);
            let retry_after = header(header::RETRY_AFTER);
            let bytes = Limited::new(response.into_body(), RESPONSE_LIMIT)
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!("{error}"))?
                .to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            anyhow::Ok(Reply { status, body, retry_after, took: started.elapsed() })
        };
        tokio::pin!(exchange);
        tokio::pin!(connection);
        // The connection is polled beside the exchange, not in a task of its own, so that it ends with it.
        tokio::select! {
            reply = &mut exchange => reply,
            closed = &mut connection => {
                let reply = exchange.await;
                if reply.is_err() { closed?; }
                reply
            }
        }
    }

    async fn ok(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let reply = self.request(method, path, body).await?;
        if reply.is_ok() { Ok(reply.body) } else { Err(Error::invalid(format!("{what}: {reply}"))) }
    }

    /// Asks for an offer.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn offer(&self, device: &str, streams: &[String]) -> Result<Offer> {
        let body = json!({ "device_id": device, "stream_types": streams });
        let reply = self.ok(Method::POST, "/webrtc/offer", Some(&body)).await?;
        match (reply["session_id"].as_str(), reply["sdp"].as_str()) {
            (Some(session), Some(sdp)) => Ok(Offer { session: session.into(), sdp: sdp.into() }),
            _ => Err(Error::invalid(format!("POST /webrtc/offer gave no session_id and sdp: {reply}"))),
        }
    }

    /// Sends an answer.
    ///
    /// # Errors
    /// Unavailable when the server cannot be reached.
    pub async fn answer(&self, session: &str, sdp: &str) -> Result<Reply> {
        let body = json!({ "session_id": session, "sdp": sdp, "type": "answer" });
        self.request(Method::POST, "/webrtc/answer", Some(&body)).await
    }

    /// Sends a candidate of the first m-line.
    ///
    /// # Errors
    /// Unavailable when the server cannot be reached.
    pub async fn candidate(&self, session: &str, candidate: &str, mid: Option<&str>) -> Result<Reply> {
        let body = json!({ "session_id": session, "candidate": candidate, "sdpMid": mid, "sdpMLineIndex": 0 });
        self.request(Method::POST, "/webrtc/ice-candidates", Some(&body)).await
    }

    /// Every session.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        let reply = self.ok(Method::GET, "/webrtc/sessions", None).await?;
        Ok(reply.as_array().into_iter().flatten().map(Session::read).collect())
    }

    /// One session; `None` when the server does not know it.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn session(&self, session: &str) -> Result<Option<Session>> {
        let reply = self.request(Method::GET, &format!("/webrtc/sessions/{session}"), None).await?;
        match reply.status {
            404 => Ok(None),
            _ if reply.is_ok() => Ok(Some(Session::read(&reply.body))),
            _ => Err(Error::invalid(format!("GET /webrtc/sessions/{session}: {reply}"))),
        }
    }

    /// Ends a session; false if there was none.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn delete(&self, session: &str) -> Result<bool> {
        let reply = self.ok(Method::DELETE, &format!("/webrtc/sessions/{session}"), None).await?;
        Ok(reply["success"].as_bool().unwrap_or(false))
    }

    /// A device's reference counts; absent types have none.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn references(&self, device: &str) -> Result<References> {
        let reply = self.ok(Method::GET, "/webrtc/stream-references", None).await?;
        let counts = reply["stream_references"][device].as_object();
        let count = |(name, count): (&String, &Value)| Some((name.clone(), count.as_u64().filter(|count| *count > 0)?));
        Ok(counts.into_iter().flatten().filter_map(count).collect())
    }

    /// The ids of the devices.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn devices(&self) -> Result<Vec<String>> {
        let reply = self.ok(Method::GET, "/devices/", None).await?;
        let id = |device: &Value| device["device_id"].as_str().map(String::from);
        Ok(reply.as_array().into_iter().flatten().filter_map(id).collect())
    }

    /// The stream types a device's sensors offer.
    ///
    /// # Errors
    /// Unavailable, or Invalid with the server's words.
    pub async fn stream_types(&self, device: &str) -> Result<Vec<String>> {
        let reply = self.ok(Method::GET, &format!("/devices/{device}/sensors/"), None).await?;
        let sensors = reply.as_array().into_iter().flatten();
        let profiles = sensors.flat_map(|sensor| sensor["supported_stream_profiles"].as_array().into_iter().flatten());
        let mut types: Vec<String> =
            profiles.filter_map(|profile| profile["stream_type"].as_str().map(String::from)).collect();
        types.sort();
        types.dedup();
        Ok(types)
    }

    /// The device asked for, or the first there is.
    ///
    /// # Errors
    /// NotFound when there is no device at all.
    pub async fn pick_device(&self, wanted: Option<&str>) -> Result<String> {
        if let Some(wanted) = wanted {
            return Ok(wanted.into());
        }
        let first = self.devices().await?.into_iter().next();
        first.ok_or_else(|| Error::not_found(format!("The server at {}:{} has no device.", self.host, self.port)))
    }
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The server's own words, where it gave any.
    pub fn detail(&self) -> String {
        match &self.body["detail"] {
            Value::Null => self.body.to_string(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.detail())
    }
}

impl Session {
    fn read(body: &Value) -> Self {
        let types = body["stream_types"].as_array().into_iter().flatten();
        Self {
            session: body["session_id"].as_str().unwrap_or_default().into(),
            connected: body["connected"].as_bool().unwrap_or(false),
            streaming: body["streaming"].as_bool().unwrap_or(false),
            stream_types: types.filter_map(|name| name.as_str().map(String::from)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn addresses() {
        let client = Client::new("http://127.0.0.1:8000", None).unwrap();
        assert_eq!((client.host(), client.port(), client.prefix.as_str()), ("127.0.0.1", 8000, "/api"));
        let client = Client::new("http://[::1]:9/api/v1/", None).unwrap();
        assert_eq!((client.host(), client.port(), client.prefix.as_str()), ("::1", 9, "/api/v1"));
        assert!(Client::new("https://host", None).unwrap_err().public().contains("http://"));
        assert!(Client::new("nonsense", None).is_err());
    }

    #[tokio::test]
    async fn reads_an_error_body_and_headers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let len = stream.read(&mut request).await.unwrap();
            let body = r#"{"detail":"full"}"#;
            let head = format!("HTTP/1.1 429 Too Many\r\nretry-after: 2\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        let client = Client::new(&format!("http://{address}"), Some("secret".into())).unwrap();
        let reply = client.request(Method::POST, "/webrtc/offer", Some(&json!({}))).await.unwrap();
        assert_eq!((reply.status, reply.detail().as_str(), reply.retry_after.as_deref()), (429, "full", Some("2")));
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /api/webrtc/offer HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer secret\r\n"), "{request}");
        assert!(request.contains("content-type: application/json\r\n"), "{request}");
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_words() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
        assert!(client.sessions().await.unwrap_err().public().contains("GET /webrtc/sessions"));
    }
}
