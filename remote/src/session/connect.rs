//! Connecting: TCP, TLS, and the server's capabilities.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use kiln_files::Secrecy;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tonic::transport::{self, Certificate, ClientTlsConfig, Identity, Uri};
use tower_service::Service;

use super::metered::Metered;
use super::{Channel, Failure, Server, Session};
use crate::believed;
use crate::budget::Breaker;
use crate::endpoint::Endpoint;
use crate::error::RemoteError;

/// How much may be under way to us before we have taken it, in bytes: enough for a fast line far away.
const WINDOW: u32 = 8 << 20;

/// A peer that is gone without a word is noticed after a minute of silence and half a minute of asking.
/// Pings of HTTP/2 would do the same, but gRPC servers hang up on clients that send them.
const SILENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_secs(10);
const ASK_TIMES: u32 = 3;

impl Session {
    /// Connects once and asks what the server offers.
    pub(super) async fn connect(&self) -> Result<Server, Failure> {
        let channel = self.open().await?;
        let asked = self.ask(channel).await;
        asked.map_err(|failure| match failure.hung_up {
            // In TLS 1.3 we are through before the server has looked at our certificate; some then just go.
            true if self.endpoint().is_secure() => Failure {
                error: RemoteError::ClientCertificate {
                    endpoint: self.endpoint().clone(),
                    source: "it hung up after the TLS handshake".into(),
                },
                ..failure
            },
            _ => failure,
        })
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> Result<Channel, Failure> {
        let transport = self.transport().await.map_err(Failure::end)?;
        let connector = Connector {
            endpoint: self.endpoint().clone(),
            breaker: Arc::clone(&self.breaker),
        };
        let connected = transport.connect_with_connector(connector).await;
        match connected {
            Ok(channel) => Ok(Channel::new(channel, Arc::clone(&self.breaker))),
            Err(error) => Err(Failure::transport(self.endpoint(), &error)),
        }
    }

    async fn transport(&self) -> Result<transport::Endpoint, RemoteError> {
        let endpoint = self.endpoint();
        let unusable = |source: transport::Error| RemoteError::Tls {
            endpoint: endpoint.clone(),
            source: super::failure::one_line(&deepest(&source)).into(),
        };
        let transport = transport::Channel::from_shared(endpoint.uri()).map_err(|_| {
            RemoteError::Unreachable {
                endpoint: endpoint.clone(),
                source: "its host is not one that a URI can hold".into(),
            }
        })?;
        let transport = transport
            .connect_timeout(self.options.budget.connect)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(2 * WINDOW)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .map_err(unusable)?;
        if !endpoint.is_secure() {
            return Ok(transport);
        }
        transport.tls_config(self.tls().await?).map_err(unusable)
    }

    async fn tls(&self) -> Result<ClientTlsConfig, RemoteError> {
        let options = &self.options.tls;
        let mut tls = ClientTlsConfig::new();
        tls = match &options.ca {
            Some(path) => {
                let pem = believed::read_aside(path, Secrecy::Public).await?;
                tls.ca_certificate(Certificate::from_pem(&*pem))
            }
            None => tls.with_native_roots(),
        };
        if let Some((certificate, key)) = &options.identity {
            tls = tls.identity(Identity::from_pem(
                &*believed::read_aside(certificate, Secrecy::Public).await?,
                &*believed::read_aside(key, Secrecy::Secret).await?,
            ));
        }
        let name = options.server_name.as_deref();
        Ok(tls.domain_name(name.unwrap_or(self.endpoint().host())))
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Makes connections that are counted.
#[derive(Clone)]
struct Connector {
    endpoint: Endpoint,
    breaker: Arc<Breaker>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Metered>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { endpoint, breaker } = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
            stream.set_nodelay(true)?;
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, SILENCE)?;
            sockopt::set_tcp_keepintvl(&stream, ASK_EVERY)?;
            sockopt::set_tcp_keepcnt(&stream, ASK_TIMES)?;
            Ok(TokioIo::new(Metered::new(stream, breaker)))
        })
    }
}
