//! How much of what was written to a TCP connection its peer has not acknowledged yet.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Weak},
};

use crate::sync::{Mutex, lock};

/// A connection that can be asked while it is open, from anywhere. Whoever owns the connection calls [`Self::close`] before it is
/// closed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Mutex<Option<RawFd>>>);

/// The same, as somebody keeps it who does not care whether it is still there.
#[derive(Debug, Clone)]
pub struct WeakConnection(Weak<Mutex<Option<RawFd>>>);

impl Connection {
    /// Of an open TCP stream.
    pub fn of(stream: &impl AsRawFd) -> Self {
        Self(Arc::new(Mutex::new(Some(stream.as_raw_fd()))))
    }

    /// Bytes that lie in the system's queue, sent or not, until the peer acknowledges them; 0 for a connection that is closed, and
    /// where the system does not tell (`SIOCOUTQ`, man 7 tcp).
    pub fn unsent(&self) -> usize {
        let fd = lock(&self.0);
        let Some(fd) = *fd else { return 0 };
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open, because its owner waits for the lock before it closes it; the call fills one int.
        let answered = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) } == 0;
        if answered { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }

    /// The connection is about to be closed.
    pub fn close(&self) {
        lock(&self.0).take();
    }

    /// For who only wants to ask while it is there.
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.0))
    }
}

impl WeakConnection {
    /// The connection, if it is still there.
    pub fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(Connection)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    #[test]
    fn what_a_peer_does_not_read_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let connection = Connection::of(&near);
        assert_eq!(connection.unsent(), 0);
        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(bytes) = near.write(&[7; 65_536]) {
            written += bytes;
        }
        let waiting = connection.unsent();
        assert!((1..=written).contains(&waiting), "{waiting} of {written}");
        let mut read = 0;
        let mut buffer = [0; 65_536];
        while read < written {
            read += far.read(&mut buffer).unwrap();
        }
        let begun = Instant::now();
        while connection.unsent() > 0 {
            assert!(begun.elapsed().as_secs() < 5, "{} bytes are not acknowledged", connection.unsent());
            std::thread::yield_now();
        }
        let kept = connection.downgrade();
        connection.close();
        assert_eq!((connection.unsent(), kept.upgrade().is_some()), (0, true));
        drop(connection);
        assert!(kept.upgrade().is_none());
    }
}
