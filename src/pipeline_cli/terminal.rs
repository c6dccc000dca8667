//! The person at the terminal: what is printed, where to, and whether the end was asked for.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::signal::unix::{SignalKind, signal};

/// Whether the person has asked for the end.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Set by Ctrl-C and SIGTERM; a second one ends the process by itself.
    pub(super) async fn listen(self) {
        let mut terminate = signal(SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(terminate) => drop(terminate.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = terminated => {} }
        self.0.store(true, Ordering::Relaxed);
        complain("ending; once more to end at once");
        let _ = tokio::signal::ctrl_c().await;
        crate::process::leave(1);
    }
}

/// Prints a line; a closed standard output (`| head`) is no fault.
pub(super) fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

/// Prints a line where errors go, so that what is printed can still be piped into a shell or a file.
pub(super) fn complain(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}
