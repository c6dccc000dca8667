//! The handle's part about looking inside: pipelines, graphs, elements, logs and metrics. Nothing of it goes through the
//! actor, so it answers even when the actor is busy.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::oneshot;

use super::handle::Handle;
use crate::{
    error::{Error, Result},
    logging::Logs,
    media::{
        self,
        diagnostics::{Answer, ElementPath, GraphRequest, ReloadError},
    },
    metrics::{Format, Metrics, Observed},
    model::{ElementInfo, Graph, PipelineInfo},
    process, work,
};

/// How long a scrape waits for the sessions' figures. Prometheus itself gives up after 10 s.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for those who look at running pipelines. Looking takes milliseconds; a pipeline that hangs must not hold up
/// who asked for longer.
const LOOK: Duration = Duration::from_secs(5);

impl Handle {
    async fn diagnose<T, E: From<Error>>(&self, ask: impl FnOnce(Answer<T, E>)) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        ask(reply);
        answer.await.unwrap_or_else(|_| Err(self.unanswered("about the pipelines").into()))
    }

    /// An answer about what runs, or none in time.
    async fn look<T>(&self, ask: impl FnOnce(Answer<T>)) -> Result<T> {
        let looked = tokio::time::timeout(LOOK, self.diagnose(ask)).await;
        looked.unwrap_or_else(|_| {
            Err(Error::unavailable(format!(
                "The running pipelines did not answer within {} s: one of them hangs, or the machine is overloaded. Ask \
                 again: the graph then leaves out what hangs.",
                LOOK.as_secs()
            )))
        })
    }

    /// Every pipeline there is, by name.
    ///
    /// # Errors
    /// Unavailable while the server shuts down, and when too many ask or an element hangs.
    pub async fn pipelines(&self) -> Result<Vec<PipelineInfo>> {
        let answer = self.diagnose(|reply| self.diagnostics.pipelines(reply));
        tokio::time::timeout(LOOK, answer).await.unwrap_or_else(|_| {
            Err(Error::unavailable(
                "The pipeline files cannot be listed now, because a GStreamer element does not answer. The server's \
                 log may name it.",
            ))
        })
    }

    /// Reads a pipeline again and swaps it into the streams that run it.
    ///
    /// # Errors
    /// There is no such pipeline, or it has a fault; nothing changed then.
    pub async fn reload(&self, name: String) -> std::result::Result<PipelineInfo, ReloadError> {
        self.diagnose(|reply| self.diagnostics.reload(name, reply)).await
    }

    /// The graph of a device as it runs.
    ///
    /// # Errors
    /// NotFound for a session that is not there, Unavailable when a pipeline hangs.
    pub async fn graph(&self, request: GraphRequest) -> Result<Graph> {
        self.look(|reply| self.diagnostics.graph(request, reply)).await
    }

    /// An element and its properties.
    ///
    /// # Errors
    /// NotFound when it does not run.
    pub async fn element(&self, path: ElementPath) -> Result<ElementInfo> {
        self.look(|reply| self.diagnostics.element(path, reply)).await
    }

    /// Sets properties of an element, all or none.
    ///
    /// # Errors
    /// NotFound when it does not run, Invalid for a property it has not or a value that does not fit.
    pub async fn set_properties(&self, path: ElementPath, values: BTreeMap<String, Value>) -> Result<ElementInfo> {
        self.look(|reply| self.diagnostics.set_properties(path, values, reply)).await
    }

    /// The log.
    pub fn logs(&self) -> &Logs {
        &self.observe.logs
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.observe.metrics
    }

    /// What is counted, as text. Looks at the peers' reports first, at most once a second however often this is asked; a
    /// server too busy to do so shows what it has.
    ///
    /// # Errors
    /// Unavailable when too many ask at once.
    pub async fn scrape(&self, format: Format) -> Result<String> {
        // Whoever asks about sessions makes the media side add theirs to the sums.
        let _ = tokio::time::timeout(SCRAPE_TIMEOUT, self.sessions()).await;
        let handle = self.clone();
        // Reads /proc, which is a file system, and writes some hundred kilobytes of text.
        let written = work::METRICS.run(move || {
            let sessions = handle.snapshot.borrow().session_states.iter().map(|(_, state)| *state).collect();
            let (gstreamer, sdk) = (media::gst::library_version(), handle.health().sdk_version);
            handle.metrics().render(Observed { sessions, process: process::usage(), gstreamer, sdk }, format)
        });
        written.await
    }
}
