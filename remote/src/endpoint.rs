//! Where a server is: `grpc[s]://HOST[:PORT][/INSTANCE]`.

use std::fmt;
use std::str::FromStr;

/// A server's address and the name of the instance on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
    instance: String,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It does not begin with `grpc://` or `grpcs://`.
    #[error("{text}: must begin with grpc:// or grpcs://")]
    Scheme {
        /// The text.
        text: String,
    },
    /// There is no host in it.
    #[error("{text}: no host")]
    Host {
        /// The text.
        text: String,
    },
    /// What is behind the colon is no port.
    #[error("{text}: {port:?} is not a port")]
    Port {
        /// The text.
        text: String,
        /// What was found.
        port: String,
    },
    /// It has a user or password. Not repeated here, so that it is not printed.
    #[error("user names and passwords do not belong in the address of a server; use a token")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("{text}: a query or fragment has no meaning here")]
    Extra {
        /// The text.
        text: String,
    },
}

impl Endpoint {
    /// Whether the connection is encrypted and the server proves who it is.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The instance name, which may have slashes and is empty by default.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The URI that the transport and credential helpers are given.
    pub(crate) fn uri(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The start of a ByteStream resource's name.
    pub(crate) fn resource(&self, rest: &str) -> String {
        if self.instance.is_empty() {
            rest.to_owned()
        } else {
            format!("{}/{rest}", self.instance)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "grpcs" } else { "grpc" };
        write!(f, "{scheme}://{}", self.authority())?;
        if !self.instance.is_empty() {
            write!(f, "/{}", self.instance)?;
        }
        Ok(())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let whole = || text.to_owned();
        let (secure, rest) = match (text.strip_prefix("grpcs://"), text.strip_prefix("grpc://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ if text.contains('@') => return Err(EndpointError::UserInfo),
            _ => return Err(EndpointError::Scheme { text: whole() }),
        };
        let (authority, instance) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if rest.contains(['?', '#']) {
            return Err(EndpointError::Extra { text: whole() });
        }
        let bracketed = authority
            .strip_prefix('[')
            .and_then(|v6| v6.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let bad_host = |c: char| c.is_whitespace() || c.is_control();
        if host.is_empty() || host.contains(bad_host) {
            return Err(EndpointError::Host { text: whole() });
        }
        let port = match port {
            None if secure => 443,
            None => 80,
            Some(port) => match port.parse() {
                Ok(number) if number != 0 => number,
                _ => {
                    return Err(EndpointError::Port {
                        text: whole(),
                        port: port.to_owned(),
                    });
                }
            },
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
            instance: instance.trim_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_shows() {
        for (text, shown) in [
            ("grpc://cache", "grpc://cache:80"),
            ("grpcs://cache", "grpcs://cache:443"),
            ("grpcs://cache:9092/", "grpcs://cache:9092"),
            ("grpc://10.0.0.1:50051/a/b", "grpc://10.0.0.1:50051/a/b"),
            ("grpc://[::1]:8980/main", "grpc://[::1]:8980/main"),
            ("grpc://[::1]", "grpc://[::1]:80"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(shown.parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for (text, message) in [
            (
                "http://cache",
                "http://cache: must begin with grpc:// or grpcs://",
            ),
            ("cache:80", "cache:80: must begin with grpc:// or grpcs://"),
            ("grpc:///main", "grpc:///main: no host"),
            ("grpc://a b", "grpc://a b: no host"),
            ("grpc://cache:no", "grpc://cache:no: \"no\" is not a port"),
            ("grpc://cache:0", "grpc://cache:0: \"0\" is not a port"),
            (
                "grpc://cache:70000",
                "grpc://cache:70000: \"70000\" is not a port",
            ),
            (
                "grpc://cache/a?b",
                "grpc://cache/a?b: a query or fragment has no meaning here",
            ),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err().to_string(), message);
        }
        let secret = "grpcs://me:hunter2@cache".parse::<Endpoint>().unwrap_err();
        assert_eq!(secret, EndpointError::UserInfo);
        assert!(!secret.to_string().contains("hunter2"));
    }
}
