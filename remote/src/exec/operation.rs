//! One execution on the server: asked for, followed over broken streams, cancelled.

use std::time::Duration;

use prost::Message;
use tokio::sync::watch;
use tonic::{Code, Streaming};

use super::lanes::Lane;
use super::work::Stage;
use super::{Cached, Engine};
use crate::blob::BlobDigest;
use crate::error::{RemoteError, RpcCode};
use crate::proto::longrunning::operations_client::OperationsClient;
use crate::proto::longrunning::{CancelOperationRequest, Operation, operation};
use crate::proto::{reapi, rpc};
use crate::session::{Access, Call, Failure, Tries, is_full, one_line};
use reapi::execution_client::ExecutionClient;

const EXECUTE: Call = Call {
    name: "Execute",
    access: Access::Read,
    deadline: Duration::MAX,
};

/// Connecting has a bound of its own, in the budget.
const CONNECT: Call = Call::read("Execute");

const CANCEL: Call = Call {
    name: "CancelOperation",
    access: Access::Read,
    deadline: Duration::from_secs(5),
};

/// How long to wait for the name of an operation that is to be cancelled.
const NAME: Duration = Duration::from_secs(5);

/// How an execution ended that the server has finished with.
pub(super) enum Ended {
    /// With a result.
    Result(Box<reapi::ExecuteResponse>),
    /// In a way that a server has which lacks some of the inputs.
    MaybeMissing(RemoteError),
}

/// Follows one operation.
pub(super) struct Follow<'e, F> {
    pub(super) engine: &'e Engine,
    /// Not before its inputs are as the server takes them.
    pub(super) action: Option<BlobDigest>,
    pub(super) cached: Cached,
    pub(super) stage: &'e mut F,
    pub(super) cancelled: watch::Receiver<bool>,
    /// What the server calls it, once it has said so.
    pub(super) name: Option<String>,
}

/// What to do after a stream has ended.
enum Next {
    Ended(Ended),
    Again(Failure),
    /// The server does not know the operation any more.
    Anew(Failure),
}

impl<F: FnMut(Stage)> Follow<'_, F> {
    /// Waits for the end, over any number of streams.
    pub(super) async fn until_the_end(&mut self) -> Result<Ended, RemoteError> {
        let session = &self.engine.session;
        let mut tries = Tries::new(session, EXECUTE);
        loop {
            let (next, heard) = self.one_stream().await?;
            if heard {
                tries.progressed();
            }
            match next {
                Next::Ended(ended) => return Ok(ended),
                Next::Again(failure) => tries.after(failure).await?,
                Next::Anew(failure) => {
                    self.name = None;
                    tries.after(failure).await?;
                }
            }
        }
    }

    /// Reads one stream to its end; also whether anything came.
    async fn one_stream(&mut self) -> Result<(Next, bool), RemoteError> {
        let mut watch = self.cancelled.clone();
        let named = self.name.is_some();
        let opened = tokio::select! {
            biased;
            () = stopped(&mut watch, named) => return Err(RemoteError::Cancelled),
            opened = self.open() => opened,
        };
        let (mut stream, _lane) = match opened {
            Ok(opened) => opened,
            Err(failure) => return Ok((self.after(failure), false)),
        };
        let mut heard = false;
        loop {
            let next = tokio::select! {
                biased;
                () = stopped(&mut watch, self.name.is_some()) => {
                    return Err(RemoteError::Cancelled);
                }
                next = stream.message() => next,
            };
            match next {
                Ok(Some(operation)) => {
                    heard = true;
                    if let Some(next) = self.hear(operation) {
                        return Ok((next, heard));
                    }
                }
                Ok(None) => {
                    let ended = Failure::again(RemoteError::Answer {
                        endpoint: self.engine.session.endpoint().clone(),
                        call: EXECUTE.name,
                        what: "it ends before the operation does",
                    });
                    return Ok((Next::Again(ended), heard));
                }
                Err(status) => {
                    let endpoint = self.engine.session.endpoint();
                    let failure = Failure::of(endpoint, EXECUTE.name, 0, &status);
                    return Ok((self.after(failure), heard));
                }
            }
        }
    }

    async fn open(&mut self) -> Result<(Streaming<Operation>, Lane), Failure> {
        let session = &self.engine.session;
        let instance_name = session.endpoint().instance().to_owned();
        let lane = self.engine.lane();
        let lane = session.bounded(CONNECT, lane).await?;
        // The server's first word may take as long as the queue is: that is not waiting in vain.
        let stream = match self.name.clone() {
            None => {
                let message = reapi::ExecuteRequest {
                    instance_name,
                    skip_cache_lookup: self.cached != Cached::Use,
                    action_digest: self.action.map(|action| action.to_proto()),
                    ..Default::default()
                };
                let send = session.send(
                    EXECUTE,
                    lane.channel.clone(),
                    message,
                    |channel, request| async move {
                        ExecutionClient::new(channel).execute(request).await
                    },
                );
                send.await?
            }
            Some(name) => {
                let message = reapi::WaitExecutionRequest { name };
                let send = session.send(
                    EXECUTE,
                    lane.channel.clone(),
                    message,
                    |channel, request| async move {
                        ExecutionClient::new(channel).wait_execution(request).await
                    },
                );
                send.await?
            }
        };
        Ok((stream, lane))
    }

    /// What the failure of a stream means.
    fn after(&self, failure: Failure) -> Next {
        let missing = matches!(
            &failure.error,
            RemoteError::Rpc { code, .. } if may_be_missing(code.0)
        );
        match (missing, &self.name) {
            (true, None) => Next::Ended(Ended::MaybeMissing(failure.error)),
            (true, Some(_)) => Next::Anew(Failure::again(failure.error)),
            _ => Next::Again(failure),
        }
    }

    /// Takes news of the operation.
    fn hear(&mut self, operation: Operation) -> Option<Next> {
        if !operation.name.is_empty() {
            self.name = Some(operation.name);
        }
        if !operation.done {
            let metadata = operation.metadata.and_then(|metadata| {
                reapi::ExecuteOperationMetadata::decode(&metadata.value[..]).ok()
            });
            match metadata.map(|metadata| metadata.stage()) {
                Some(reapi::execution_stage::Value::Executing) => (self.stage)(Stage::Executing),
                // Some servers say no more than that they have it.
                _ => (self.stage)(Stage::Queued),
            }
            return None;
        }
        let response = match operation.result {
            Some(operation::Result::Error(status)) => return Some(self.failed(&status)),
            Some(operation::Result::Response(any)) => {
                reapi::ExecuteResponse::decode(&any.value[..]).ok()
            }
            None => None,
        };
        let Some(response) = response else {
            return Some(Next::Again(Failure::end(RemoteError::Answer {
                endpoint: self.engine.session.endpoint().clone(),
                call: EXECUTE.name,
                what: "it has ended without a result",
            })));
        };
        match &response.status {
            Some(status) if status.code != 0 => Some(self.failed(status)),
            _ => Some(Next::Ended(Ended::Result(Box::new(response)))),
        }
    }

    /// What it means that the operation ended with this status.
    fn failed(&self, status: &rpc::Status) -> Next {
        let endpoint = self.engine.session.endpoint().clone();
        let message = one_line(&status.message);
        let code = Code::from_i32(status.code);
        let rpc = |message| RemoteError::Rpc {
            endpoint: endpoint.clone(),
            call: EXECUTE.name,
            code: RpcCode(code),
            message,
        };
        match code {
            Code::DeadlineExceeded => Next::Again(Failure::end(RemoteError::TimedOut { message })),
            Code::Cancelled => Next::Again(Failure::end(RemoteError::Cancelled)),
            Code::Unavailable | Code::Aborted => Next::Anew(Failure::again(rpc(message))),
            code if is_full(code, &message) => {
                Next::Anew(Failure::again(RemoteError::Full { endpoint, message }))
            }
            code if may_be_missing(code) => Next::Ended(Ended::MaybeMissing(rpc(message))),
            _ => Next::Again(Failure::end(rpc(message))),
        }
    }

    /// Cancels the operation on the server. That it is over already is fine.
    pub(super) async fn cancel(&mut self) {
        let Some(name) = self.name.take() else {
            return;
        };
        let message = CancelOperationRequest { name };
        let cancelled =
            self.engine
                .session
                .attempt(CANCEL, message, |channel, request| async move {
                    OperationsClient::new(channel)
                        .cancel_operation(request)
                        .await
                });
        // Nobody is left to be told.
        let _ = cancelled.await;
    }
}

/// What servers answer when an input is not there. The API knows a better way; none of those that were
/// tried takes it.
fn may_be_missing(code: Code) -> bool {
    matches!(
        code,
        Code::NotFound | Code::FailedPrecondition | Code::Internal
    )
}

/// Waits until the action is cancelled.
pub(super) async fn cancelled(watch: &mut watch::Receiver<bool>) {
    if watch.wait_for(|cancelled| *cancelled).await.is_err() {
        // All handles are gone: nobody can cancel it any more.
        std::future::pending::<()>().await;
    }
}

/// Waits until the action is cancelled, and then a little longer if it has no name yet to cancel it by.
async fn stopped(watch: &mut watch::Receiver<bool>, named: bool) {
    cancelled(watch).await;
    if !named {
        tokio::time::sleep(NAME).await;
    }
}
