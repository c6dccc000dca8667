//! One connection to a relay, from dialling to its end: carries what the relay asks to the robot and what the robot says to the
//! relay, and bounds both. Decides nothing about sessions.

use std::time::{Duration, Instant, SystemTime};

use futures_util::{FutureExt, SinkExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    messages::{Reply, Request},
    packet::{self, Malformed, Packet},
    robot::{Robot, Step, Work},
};
use crate::{config::Place, core::bucket::Bucket, http::MAX_BODY_BYTES, logging::time::rfc3339};

/// Longest that dialling may take, with name, TCP and TLS; and each step of being admitted.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a message may take to be written: a relay that takes nothing is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that may wait to be written, answers to WebSocket's own pings included.
const MAX_WAITING: usize = 1024 * 1024;
/// Messages of a relay of any kind that are read at once, and how many more each second. A viewer that comes sends about 20.
const MESSAGES_BURST: u32 = 1000;
const MESSAGES_PER_S: u32 = 100;
/// Most requests under way at once.
const MAX_WORK: usize = 64;
/// What is said of a relay that sends more.
const TOO_MANY: &str = "it sends more than 100 messages a second";
/// How often candidates that come late are looked for while sessions are being connected.
const GATHER_EVERY: Duration = Duration::from_millis(500);
/// Longest that the good-bye may take.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(300);

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// The camera is gone, and so are its sessions.
    Gone,
    /// For this reason, in words.
    Lost(String),
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Connection<'a> {
    socket: Socket,
    /// How long the relay may be silent.
    silence: Duration,
    robot: &'a mut Robot,
    work: FuturesUnordered<Work>,
    messages: Bucket,
}

/// Dials, has the robot registered and serves until the end. `admitted` is called once the relay knows the robot.
pub(super) async fn run(
    place: &Place,
    token: &str,
    robot: &mut Robot,
    stop: &CancellationToken,
    admitted: impl FnOnce(),
) -> End {
    let dialled = tokio::select! {
        biased;
        () = stop.cancelled() => return End::Stopped,
        dialled = dial(place, token) => dialled,
    };
    let (socket, silence) = match dialled {
        Ok(dialled) => dialled,
        Err(why) => return End::Lost(why),
    };
    let messages = Bucket::new(Instant::now(), MESSAGES_BURST, MESSAGES_PER_S);
    let mut connection = Connection { socket, silence, robot, work: FuturesUnordered::new(), messages };
    let register = connection.robot.register(&rfc3339(SystemTime::now()));
    let end = match connection.say(vec![register]).await {
        Ok(()) => {
            admitted();
            connection.serve(stop).await
        }
        Err(why) => End::Lost(why),
    };
    if matches!(end, End::Lost(_)) {
        let Connection { robot, mut work, .. } = connection;
        let ended: Vec<_> = std::iter::from_fn(|| work.next().now_or_never().flatten()).collect();
        // What is still under way has nobody to tell.
        drop(work);
        let step = robot.lost(ended);
        finish(robot, step).await;
    }
    end
}

/// Opens the connection and is admitted; gives how long the relay may be silent.
async fn dial(place: &Place, token: &str) -> Result<(Socket, Duration), String> {
    let limits = WebSocketConfig::default()
        // As long as a body of HTTP may be.
        .max_message_size(Some(MAX_BODY_BYTES))
        .max_frame_size(Some(MAX_BODY_BYTES))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WAITING);
    let dialled = timeout(DIAL_TIMEOUT, connect_async_with_config(place.socket.as_str(), Some(limits), true)).await;
    let (mut socket, _) = match dialled {
        Ok(Ok(dialled)) => dialled,
        Ok(Err(error)) => return Err(format!("it cannot be reached: {error}")),
        Err(_) => return Err(format!("it did not answer within {} s", DIAL_TIMEOUT.as_secs())),
    };
    let deadline = tokio::time::Instant::now() + DIAL_TIMEOUT;
    let Packet::Open { silence } = receive(&mut socket, deadline).await? else {
        return Err("it is no Socket.IO server of version 3 or 4".into());
    };
    let mut messages = Bucket::new(Instant::now(), MESSAGES_PER_S, MESSAGES_PER_S);
    send(&mut socket, packet::connect(token)).await?;
    while messages.take(Instant::now()) {
        match receive(&mut socket, deadline).await? {
            Packet::Connected => return Ok((socket, silence)),
            Packet::Ping => send(&mut socket, packet::PONG.into()).await?,
            Packet::Refused(reason) => {
                let advice = "Look at relay.token in the server's configuration";
                return Err(format!("it does not admit this server: '{reason}'. {advice}"));
            }
            Packet::Closed => return Err("it hung up".into()),
            Packet::Open { .. } | Packet::Event { .. } | Packet::Other => {}
        }
    }
    Err(TOO_MANY.into())
}

/// The next message as a packet. Safe to be dropped and called again.
async fn receive(socket: &mut Socket, deadline: tokio::time::Instant) -> Result<Packet, String> {
    let message = match timeout_at(deadline, socket.next()).await {
        Ok(Some(Ok(message))) => message,
        Ok(Some(Err(error))) => return Err(format!("the connection broke: {error}")),
        Ok(None) => return Err("it hung up".into()),
        Err(_) => return Err("it is silent".into()),
    };
    match message {
        Message::Text(text) => packet::parse(&text).map_err(|Malformed(what)| format!("it sent {what}")),
        Message::Close(_) => Err("it hung up".into()),
        // WebSocket's own pings are answered by the library; binary messages belong to events that nobody here asks for.
        _ => Ok(Packet::Other),
    }
}

async fn send(socket: &mut Socket, text: String) -> Result<(), String> {
    match timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the connection broke: {error}")),
        Err(_) => Err(format!("it took nothing for {} s", WRITE_TIMEOUT.as_secs())),
    }
}

/// Does work whose outcome the relay is not to hear of.
pub(super) async fn finish(robot: &mut Robot, step: Step) {
    for work in step.work {
        let done = work.await;
        // What follows is for the relay only.
        let _ = robot.done(done);
    }
}

impl Connection<'_> {
    async fn serve(&mut self, stop: &CancellationToken) -> End {
        let mut snapshot = self.robot.handle().snapshot();
        // Sessions may have ended while there was no relay.
        snapshot.mark_changed();
        let mut deadline = tokio::time::Instant::now() + self.silence;
        let mut gather = tokio::time::interval(GATHER_EVERY);
        gather.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let gathers = self.robot.gathers() && self.work.len() < MAX_WORK;
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.leave().await;
                    return End::Stopped;
                }
                changed = snapshot.changed() => {
                    if changed.is_err() {
                        self.leave().await;
                        return End::Stopped;
                    }
                    Step::default()
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => self.robot.done(done),
                _ = gather.tick(), if gathers => self.robot.candidates(),
                packet = receive(&mut self.socket, deadline) => {
                    deadline = tokio::time::Instant::now() + self.silence;
                    match packet {
                        Ok(_) if !self.messages.take(Instant::now()) => return End::Lost(TOO_MANY.into()),
                        Ok(Packet::Ping) => match send(&mut self.socket, packet::PONG.into()).await {
                            Ok(()) => Step::default(),
                            Err(why) => return End::Lost(why),
                        },
                        Ok(Packet::Event { name, data }) => self.event(&name, &data),
                        Ok(Packet::Closed) => return End::Lost("it hung up".into()),
                        Ok(_) => Step::default(),
                        Err(why) => return End::Lost(why),
                    }
                }
            };
            // A session may have ended before its offer was taken here.
            let (looked, there) = self.robot.look_at(&snapshot.borrow_and_update());
            let step = step.and(looked);
            self.work.extend(step.work);
            if let Err(why) = self.say(step.say).await {
                return End::Lost(why);
            }
            if !there && self.robot.is_idle() {
                self.leave().await;
                return End::Gone;
            }
        }
    }

    fn event(&mut self, name: &str, data: &serde_json::Value) -> Step {
        let request = match Request::parse(name, data) {
            None => {
                debug!(event = name, "The relay sent an event that means nothing here");
                return Step::default();
            }
            Some(Err(reply)) => return Step { say: reply.into_iter().collect(), work: Vec::new() },
            Some(Ok(request)) => request,
        };
        // The end of a session is heard in any case.
        if self.work.len() >= MAX_WORK && !matches!(request, Request::Closed(_)) {
            let refusal = request.refusal("The server is busy with earlier requests of this relay; try again.");
            return Step { say: refusal.into_iter().collect(), work: Vec::new() };
        }
        self.robot.request(request)
    }

    async fn say(&mut self, replies: Vec<Reply>) -> Result<(), String> {
        for Reply { name, data } in replies {
            send(&mut self.socket, packet::emit(name, &data)).await?;
        }
        Ok(())
    }

    /// Ends the robot's sessions and says good-bye.
    async fn leave(&mut self) {
        let step = self.robot.leave();
        let good_bye = async {
            // Who does not hear it notices by himself.
            let _ = self.say(step.say).await;
            let _ = send(&mut self.socket, packet::DISCONNECT.into()).await;
            let _ = self.socket.close(None).await;
        };
        let _ = timeout(LEAVE_TIMEOUT, good_bye).await;
        // Sessions that were closed meanwhile.
        let _ = timeout(LEAVE_TIMEOUT, async {
            while let Some(done) = self.work.next().await {
                let step = self.robot.done(done);
                self.work.extend(step.work);
            }
        })
        .await;
        finish(self.robot, Step { say: Vec::new(), work: step.work }).await;
    }
}
