//! One server for one run: the connection, what it offers, and how calls are made and made again.
//!
//! Every call goes through [`Session::attempt`]: it is bounded by the budget, carries the credentials, and
//! its failure is told apart by what to do about it. [`Tries`] decides whether it is made again. A server
//! that fails for good trips the budget's breaker; one that only refuses to be written to is read on.

mod capabilities;
mod channel;
mod connect;
mod failure;
mod metered;
mod runtime;
mod tries;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tonic::{Request, Response, Status};

pub(crate) use capabilities::Server;
pub use capabilities::ServerInfo;
pub(crate) use channel::Channel;
pub(crate) use failure::{Failure, Remedy, is_full, one_line};
pub(crate) use runtime::Runtime;
pub(crate) use tries::Tries;

use crate::budget::Breaker;
use crate::credentials::{CredentialSource, Headers, header};
use crate::endpoint::Endpoint;
use crate::error::RemoteError;
use crate::options::Options;
use crate::statistics::{Counts, Statistics};

/// No answer is longer, in bytes: a batch, or a record in an ActionResult.
pub(crate) const MESSAGE_LIMIT: usize = 16 << 20;

/// Whether a call changes what the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// One kind of call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) access: Access,
    /// How long one attempt may take, whatever the budget.
    pub(crate) deadline: Duration,
}

impl Call {
    pub(crate) const fn read(name: &'static str) -> Self {
        Self {
            name,
            access: Access::Read,
            deadline: Duration::from_secs(60),
        }
    }

    pub(crate) const fn write(name: &'static str) -> Self {
        Self {
            name,
            access: Access::Write,
            deadline: Duration::from_secs(60),
        }
    }
}

/// One server for one run.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) options: Options,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) counts: Counts,
    /// How many more transfers may begin.
    pub(crate) transfers: Semaphore,
    /// How many more KiB of blobs may be in memory.
    memory: Semaphore,
    headers: Headers,
    credentials: CredentialSource,
    server: OnceCell<Server>,
    /// Why nothing more is written.
    closed: OnceLock<Arc<RemoteError>>,
}

impl Session {
    /// Prepares a session. Nothing is connected yet.
    pub(crate) fn new(options: Options) -> Result<Self, RemoteError> {
        let headers = options.headers.iter();
        let headers = headers.map(|(name, value)| header(name, value));
        let endpoint = &options.endpoint;
        let memory = usize::try_from(options.memory >> 10).unwrap_or(Semaphore::MAX_PERMITS);
        Ok(Self {
            headers: headers.collect::<Result<_, _>>()?,
            credentials: CredentialSource::new(options.credentials.clone(), endpoint.uri()),
            breaker: Arc::new(Breaker::new(options.budget, endpoint.clone())),
            counts: Counts::default(),
            transfers: Semaphore::new(options.concurrency.max(1)),
            // At least a batch each way, or nothing could ever be moved.
            memory: Semaphore::new(memory.clamp(2 * MEMORY_STEP, Semaphore::MAX_PERMITS)),
            server: OnceCell::new(),
            closed: OnceLock::new(),
            options,
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.options.endpoint
    }

    /// What the server offers; connects at the first call.
    pub(crate) async fn server(&self) -> Result<&Server, RemoteError> {
        const CALL: Call = Call::read("GetCapabilities");
        if let Some(server) = self.server.get() {
            return Ok(server);
        }
        let mut tries = Tries::new(self, CALL);
        loop {
            match self.bounded(CALL, self.connected()).await {
                Ok(server) => return Ok(server),
                Err(failure) => tries.after(failure).await?,
            }
        }
    }

    async fn connected(&self) -> Result<&Server, Failure> {
        self.server.get_or_try_init(|| self.connect()).await
    }

    /// One attempt of a call: `send` gets the channel and the request with our headers.
    pub(crate) async fn attempt<Q, R, F>(
        &self,
        call: Call,
        message: Q,
        send: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<R, Failure>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        if let (Access::Write, Some(cause)) = (call.access, self.closed.get()) {
            return Err(Failure::end(RemoteError::GaveUp(Arc::clone(cause))));
        }
        let answer = self.bounded(call, async {
            let server = self.connected().await?;
            self.send(call, server.channel.clone(), message, send).await
        });
        let answer = answer.await?;
        self.breaker.answered();
        Ok(answer)
    }

    /// One attempt over a given connection, however long it takes.
    pub(crate) async fn send<Q, R, F>(
        &self,
        call: Call,
        channel: Channel,
        message: Q,
        send: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<R, Failure>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let (request, generation) = self.request(message).await?;
        match send(channel, request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(Failure::of(self.endpoint(), call.name, generation, &status)),
        }
    }

    /// A whole call: attempts until one succeeds or it makes no sense any more.
    pub(crate) async fn unary<Q, R, F>(
        &self,
        call: Call,
        message: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<R, RemoteError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut tries = Tries::new(self, call);
        loop {
            match self.attempt(call, message.clone(), &send).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.after(failure).await?,
            }
        }
    }

    /// Bounds an attempt by the budget and the call's deadline.
    pub(crate) async fn bounded<T>(
        &self,
        call: Call,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let timed = tokio::time::timeout(call.deadline, attempt);
        match self.breaker.wait(call.name, timed).await {
            Err(gave_up) => Err(Failure::end(gave_up)),
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Failure::end(RemoteError::Deadline {
                endpoint: self.endpoint().clone(),
                call: call.name,
                after: call.deadline,
            })),
        }
    }

    /// A request with our headers, and the generation of the credentials in it.
    pub(crate) async fn request<Q>(&self, message: Q) -> Result<(Request<Q>, u64), Failure> {
        let (credentials, generation) = self.credentials.headers().await.map_err(Failure::end)?;
        let mut request = Request::new(message);
        for (name, value) in self.headers.iter().chain(&credentials) {
            request.metadata_mut().append(name, value.clone());
        }
        Ok((request, generation))
    }

    /// Draws the conclusions of a call that failed for good.
    pub(crate) fn conclude(&self, call: Call, error: RemoteError) -> RemoteError {
        let about_us = matches!(
            error,
            RemoteError::Denied { .. }
                | RemoteError::Forbidden { .. }
                | RemoteError::NoService { .. }
                | RemoteError::Full { .. }
        );
        match call.access {
            Access::Write if about_us => {
                let cause = self.closed.get_or_init(|| Arc::new(error));
                RemoteError::GaveUp(Arc::clone(cause))
            }
            Access::Read if matches!(error, RemoteError::Forbidden { .. }) => {
                self.breaker.trip(error)
            }
            _ if error.is_final() => self.breaker.trip(error),
            _ => error,
        }
    }

    /// Nothing more is written, for this reason.
    pub(crate) fn close(&self, cause: RemoteError) -> RemoteError {
        RemoteError::GaveUp(Arc::clone(self.closed.get_or_init(|| Arc::new(cause))))
    }

    /// Room for this many bytes of blobs in memory; waits for it.
    pub(crate) async fn room(&self, bytes: u64) -> tokio::sync::SemaphorePermit<'_> {
        let steps = bytes.div_ceil(1024).min(2 * MEMORY_STEP as u64) as u32;
        let permit = self.memory.acquire_many(steps).await;
        permit.expect("the semaphore is never closed")
    }

    /// The right to begin a transfer; waits for it.
    pub(crate) async fn transfer(&self) -> tokio::sync::SemaphorePermit<'_> {
        let permit = self.transfers.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let (bytes_received, bytes_sent) = self.breaker.bytes();
        Statistics {
            bytes_received,
            bytes_sent,
            waited: self.breaker.waited(),
            ..self.counts.statistics()
        }
    }

    /// Why the server is not asked, or not written to, any more.
    pub(crate) fn gave_up(&self) -> Option<Arc<RemoteError>> {
        let tripped = self.breaker.tripped();
        tripped.or_else(|| self.closed.get().cloned())
    }

    pub(crate) async fn credentials_refused(&self, generation: u64) -> bool {
        self.credentials.refused(generation).await
    }
}

/// A batch in KiB.
const MEMORY_STEP: usize = 4 << 10;
