//! Addresses of servers that speak the Remote Execution API:
//! `grpc://HOST[:PORT][/INSTANCE]`, or `grpcs://` for TLS.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use toml::Value as Shown;

use super::{misfit::Misfit, value::Value};

/// Segments that an instance's name must not have: REAPI's own paths follow it.
const RESERVED: [&str; 7] = [
    "blobs",
    "uploads",
    "actions",
    "actionResults",
    "operations",
    "capabilities",
    "compressed-blobs",
];

/// Whether what is sent is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `grpc://`: readable by everybody on the way.
    Plain,
    /// `grpcs://`: TLS.
    Tls,
}

/// A server, and one instance of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether there is TLS.
    pub transport: Transport,
    /// Its name or address; an IPv6 address is without brackets.
    pub host: String,
    /// Its port: as said, else 443 with TLS and 80 without.
    pub port: u16,
    /// REAPI's `instance_name`, often empty.
    pub instance: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It begins with something else.
    #[error("expects grpc://HOST[:PORT][/INSTANCE] or grpcs://..., not {text:?}")]
    Scheme {
        /// The text.
        text: String,
    },
    /// It has a name or password in it; the text is not repeated.
    #[error("has a user or password in its address; see token_file and credential_helper")]
    User,
    /// It has no host, or one that cannot be.
    #[error("has no host that can be in {text:?}")]
    Host {
        /// The text.
        text: String,
    },
    /// Its port is no port.
    #[error("has a port that is none in {text:?}; ports are 1 to 65535")]
    Port {
        /// The text.
        text: String,
    },
    /// The instance cannot be called so.
    #[error("has an instance that cannot be called so in {text:?}")]
    Instance {
        /// The text.
        text: String,
    },
}

impl Endpoint {
    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let owned = || text.to_owned();
        let (transport, default_port, rest) = if let Some(rest) = text.strip_prefix("grpcs://") {
            (Transport::Tls, 443, rest)
        } else if let Some(rest) = text.strip_prefix("grpc://") {
            (Transport::Plain, 80, rest)
        } else {
            return Err(EndpointError::Scheme { text: owned() });
        };
        let (authority, instance) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(EndpointError::User);
        }
        let no_host = || EndpointError::Host { text: owned() };
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (address, after) = bracketed.split_once(']').ok_or_else(no_host)?;
                address.parse::<Ipv6Addr>().map_err(|_| no_host())?;
                match after {
                    "" => (address, None),
                    after => (address, Some(after.strip_prefix(':').ok_or_else(no_host)?)),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_name = |host: &str| {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if !authority.starts_with('[') && !is_name(host) {
            return Err(no_host());
        }
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|_| port.chars().all(|c| c.is_ascii_digit()))
                .filter(|port| *port != 0)
                .ok_or_else(|| EndpointError::Port { text: owned() })?,
        };
        let instance = instance.strip_suffix('/').unwrap_or(instance);
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && !RESERVED.contains(&segment)
                && segment
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#'))
        };
        if !instance.is_empty() && !instance.split('/').all(is_segment) {
            return Err(EndpointError::Instance { text: owned() });
        }
        Ok(Self {
            transport,
            host: host.to_owned(),
            port,
            instance: instance.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.transport {
            Transport::Plain => "grpc://",
            Transport::Tls => "grpcs://",
        })?;
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{}:{}", self.host, self.port)?;
        }
        if !self.instance.is_empty() {
            write!(f, "/{}", self.instance)?;
        }
        Ok(())
    }
}

/// A server, or the word `none`: not even the one that an earlier layer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server(pub Option<Endpoint>);

impl FromStr for Server {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        if text == "none" {
            return Ok(Self(None));
        }
        Ok(Self(Some(text.parse()?)))
    }
}

impl Value for Server {
    const EXPECTED: &'static str =
        "an address grpc://HOST[:PORT][/INSTANCE] or grpcs://..., or \"none\"";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse()
    }

    fn shown(&self) -> Option<Shown> {
        Some(Shown::from(match &self.0 {
            Some(endpoint) => endpoint.to_string(),
            None => "none".to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let read = |text: &str| text.parse::<Endpoint>().unwrap();
        let plain = read("grpc://cache.example:8980/main");
        assert_eq!(plain.transport, Transport::Plain);
        assert_eq!((plain.host.as_str(), plain.port), ("cache.example", 8980));
        assert_eq!(plain.instance, "main");
        assert_eq!(read("grpcs://cache").to_string(), "grpcs://cache:443");
        assert_eq!(read("grpc://cache/").to_string(), "grpc://cache:80");
        let six = read("grpc://[::1]:9092/a/b");
        assert_eq!((six.host.as_str(), six.instance.as_str()), ("::1", "a/b"));
        assert_eq!(six.to_string(), "grpc://[::1]:9092/a/b");
        assert!(six.is_loopback() && read("grpc://127.0.0.2").is_loopback());
        assert!(!read("grpc://10.0.0.1").is_loopback());
    }

    #[test]
    fn what_is_no_address() {
        for wrong in [
            "cache:8980",
            "http://cache",
            "grpc://",
            "grpc:///main",
            "grpc://:80",
            "grpc://a b",
            "grpc://cache:0",
            "grpc://cache:",
            "grpc://cache:+80",
            "grpc://cache:99999",
            "grpc://::1",
            "grpc://[::1",
            "grpc://[cache]",
            "grpc://cache/a//b",
            "grpc://cache/blobs",
            "grpc://cache/a?b",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
        let secret = "grpc://me:secret@cache".parse::<Endpoint>().unwrap_err();
        assert!(!secret.to_string().contains("secret"));
    }

    #[test]
    fn none_is_a_server_too() {
        assert_eq!("none".parse(), Ok(Server(None)));
        assert!("nothing".parse::<Server>().is_err());
    }
}
