//! An action from its inputs to its outputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::operation::{Ended, Follow, cancelled};
use super::work::Stage;
use super::{Done, Engine, Work};
use crate::error::RemoteError;
use crate::session::ServerInfo;

impl Engine {
    pub(super) async fn check(&self) -> Result<ServerInfo, RemoteError> {
        let info = &self.session.server().await?.info;
        if info.execution {
            return Ok(info.clone());
        }
        Err(self.session.breaker.trip(RemoteError::NoExecution {
            endpoint: self.session.endpoint().clone(),
        }))
    }

    /// Runs an action until it has ended, is cancelled or takes too long.
    pub(super) async fn run(
        &self,
        work: Work,
        mut stage: impl FnMut(Stage),
        watch: watch::Receiver<bool>,
    ) -> Result<Done, RemoteError> {
        let mut last = None;
        let mut stage = |now| {
            // Servers repeat themselves.
            if last.replace(now) != Some(now) {
                stage(now);
            }
        };
        let mut follow = Follow {
            engine: self,
            action: None,
            cached: work.cached,
            stage: &mut stage,
            cancelled: watch.clone(),
            name: None,
        };
        let executing = AtomicBool::new(false);
        let mut stop = watch;
        let ended = {
            let all = self.attempts(&work, &mut follow, &executing);
            let deadline = async {
                match work.deadline {
                    Some(deadline) => tokio::time::sleep(deadline).await,
                    None => std::future::pending().await,
                }
            };
            // While it executes, the stream itself looks out for the cancellation: it needs the name.
            let stopped = async {
                cancelled(&mut stop).await;
                if executing.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = all => ended,
                () = stopped => Err(RemoteError::Cancelled),
                () = deadline => Err(RemoteError::TimedOut {
                    message: "it had waited and run for as long as it may".to_owned(),
                }),
            }
        };
        if ended.is_err() {
            follow.cancel().await;
        }
        ended
    }

    async fn attempts<F: FnMut(Stage)>(
        &self,
        work: &Work,
        follow: &mut Follow<'_, F>,
        executing: &AtomicBool,
    ) -> Result<Done, RemoteError> {
        let info = self.check().await?;
        let inputs = match !info.absolute_links && work.inputs.has_absolute_links() {
            true => work.inputs.with_relative_links(),
            false => Arc::clone(&work.inputs),
        };
        let encoded = work.encode(&inputs);
        follow.action = Some(encoded.action.digest());
        let mut again = true;
        loop {
            (follow.stage)(Stage::Uploading);
            self.provide(&inputs, &encoded).await?;
            executing.store(true, Ordering::Relaxed);
            let ended = follow.until_the_end().await;
            executing.store(false, Ordering::Relaxed);
            let response = match ended? {
                Ended::Result(response) => response,
                // Once: whatever it is, it is not a missing input the second time.
                Ended::MaybeMissing(_) if again => {
                    again = false;
                    self.known.forget();
                    follow.name = None;
                    self.session.counts.retries.add(1);
                    continue;
                }
                Ended::MaybeMissing(error) => return Err(error),
            };
            follow.name = None;
            let failed = response
                .result
                .as_ref()
                .is_some_and(|result| result.exit_code != 0);
            if failed && again {
                again = false;
                // An engine may run an action without an input that it has lost. That is no failure.
                self.known.forget();
                if self.provide(&inputs, &encoded).await? > 0 {
                    follow.cached = follow.cached.anew();
                    self.session.counts.retries.add(1);
                    continue;
                }
            }
            (follow.stage)(Stage::Downloading);
            match self.outputs(&response, work.download.as_deref()).await {
                // A result whose outputs the server has lost meanwhile is none.
                Err(RemoteError::MissingBlob { .. }) if again => {
                    again = false;
                    follow.cached = follow.cached.anew();
                    self.session.counts.retries.add(1);
                }
                outputs => return outputs,
            }
        }
    }
}
