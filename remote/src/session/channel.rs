//! A connection's calls, and how much they carry.
//!
//! What a server puts on the wire costs it nothing: pings, settings and headers without end are bytes too. Only what
//! our calls carry counts as work that it does, so it is counted here, above HTTP/2.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport;

use crate::budget::Breaker;

/// A connection, whose calls tell the budget what they carry.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    inner: transport::Channel,
    breaker: Arc<Breaker>,
}

impl Channel {
    pub(super) fn new(inner: transport::Channel, breaker: Arc<Breaker>) -> Self {
        Self { inner, breaker }
    }

    fn carried(&self, body: tonic::body::Body, way: Way) -> tonic::body::Body {
        tonic::body::Body::new(Carried {
            body,
            way,
            breaker: Arc::clone(&self.breaker),
        })
    }
}

impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<tonic::body::Body>;
    type Error = transport::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let request = request.map(|body| self.carried(body, Way::Out));
        let answer = Service::call(&mut self.inner, request);
        let channel = self.clone();
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| channel.carried(body, Way::In)))
        })
    }
}

/// Whose content it is.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// The content of a call, counted as it passes.
struct Carried {
    body: tonic::body::Body,
    way: Way,
    breaker: Arc<Breaker>,
}

impl Body for Carried {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let data = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let Some(data) = data {
            match self.way {
                Way::In => self.breaker.carried_in(data.len()),
                Way::Out => self.breaker.carried_out(data.len()),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
