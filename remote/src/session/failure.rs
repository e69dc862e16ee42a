//! What the failure of one attempt means, and what to do about it.

use std::error::Error as StdError;
use std::io;

use tonic::{Code, Status};

use crate::endpoint::Endpoint;
use crate::error::{Cause, RemoteError, RpcCode};

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: RemoteError,
    pub(crate) remedy: Remedy,
    /// Whether the connection ended without a word from the server.
    pub(crate) hung_up: bool,
}

/// What may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// To wait a little.
    Again,
    /// To read the credentials again, if they are still those.
    Renew { generation: u64 },
    /// Nothing.
    None,
}

impl Failure {
    pub(crate) fn end(error: RemoteError) -> Self {
        Self {
            error,
            remedy: Remedy::None,
            hung_up: false,
        }
    }

    pub(crate) fn again(error: RemoteError) -> Self {
        Self {
            error,
            remedy: Remedy::Again,
            hung_up: false,
        }
    }

    /// What a status means that a call ended with.
    pub(crate) fn of(
        endpoint: &Endpoint,
        call: &'static str,
        generation: u64,
        status: &Status,
    ) -> Self {
        if let Some(source) = status.source() {
            // Made on this side: the connection, not the server's answer.
            return Self::transport(endpoint, source);
        }
        let endpoint = endpoint.clone();
        let message = message(status);
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded => Self::again(RemoteError::Unreachable {
                endpoint,
                source: message.into(),
            }),
            code if is_full(code, &message) => Self::again(RemoteError::Full { endpoint, message }),
            Code::Unauthenticated => Self {
                error: RemoteError::Denied { endpoint, message },
                remedy: Remedy::Renew { generation },
                hung_up: false,
            },
            Code::PermissionDenied => Self::end(RemoteError::Forbidden {
                endpoint,
                call,
                message,
            }),
            Code::Unimplemented => Self::end(RemoteError::NoService {
                endpoint,
                service: call,
            }),
            code => Self {
                remedy: match code {
                    Code::Aborted => Remedy::Again,
                    _ => Remedy::None,
                },
                error: RemoteError::Rpc {
                    endpoint,
                    call,
                    code: RpcCode(code),
                    message,
                },
                hung_up: false,
            },
        }
    }

    /// What an error of the connection means.
    pub(crate) fn transport(endpoint: &Endpoint, error: &(dyn StdError + 'static)) -> Self {
        let endpoint = endpoint.clone();
        match tls_error(error) {
            Some(tls @ rustls::Error::InvalidCertificate(_)) => {
                Self::end(RemoteError::Certificate {
                    endpoint,
                    source: tls.to_string().into(),
                })
            }
            Some(rustls::Error::AlertReceived(alert)) => {
                let source: Cause = format!("it answered with the alert {alert:?}").into();
                if is_about_certificate(*alert) {
                    Self::end(RemoteError::ClientCertificate { endpoint, source })
                } else {
                    Self::end(RemoteError::Tls { endpoint, source })
                }
            }
            Some(tls) => Self::end(RemoteError::Unreachable {
                endpoint,
                source: format!("no TLS there: {tls}").into(),
            }),
            None => Self {
                hung_up: true,
                ..Self::again(RemoteError::Unreachable {
                    endpoint,
                    source: innermost(error).into(),
                })
            },
        }
    }
}

/// Whether a status says that there is no room. buildbox-casd says so in its own words.
pub(crate) fn is_full(code: Code, message: &str) -> bool {
    code == Code::ResourceExhausted
        || (code == Code::Internal && message.contains("OutOfSpaceException"))
}

/// What the server said, in one line of bearable length.
fn message(status: &Status) -> String {
    one_line(status.message())
}

pub(crate) fn one_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or("no reason given");
    let shown = |c: &char| !c.is_control();
    line.chars().filter(shown).take(300).collect()
}

fn is_about_certificate(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
            // What OpenSSL's servers send for a certificate that does not please them.
            | Alert::HandshakeFailure
    )
}

/// The error of TLS that an error of the transport goes back to.
fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // Such an error's source is its content's source: the content itself would be passed over.
        let content = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(content) = content {
            let content: &(dyn StdError + 'static) = content;
            if let Some(tls) = tls_error(content) {
                return Some(tls);
            }
        }
        next = error.source();
    }
    None
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    one_line(&last.to_string())
}
