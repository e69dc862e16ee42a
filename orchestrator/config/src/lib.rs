//! Settings: where they are said, which of them win, and what is wrong with them.
//!
//! A [`Configuration`] reads /etc/kiln/config.toml, the user's file, the environment and the
//! flags, in this order, the later winning; [`Settings`] is what comes of it, and each
//! [`Entry`] says where a value is from. docs/configuration.md is for users. Settings only
//! say what is wanted: what becomes of it is decided where it is used.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod allowance;
mod catalog;
mod configuration;
mod document;
mod endpoint;
mod environment;
mod error;
mod file;
mod flags;
mod layers;
mod misfit;
mod origin;
mod pairs;
mod path;
mod remote;
mod secret;
mod settings;
mod trust;
mod value;

pub use allowance::Allowance;
pub use catalog::{Exposure, InFiles, SETTINGS, Setting};
pub use configuration::Configuration;
pub use endpoint::{Endpoint, EndpointError, Server, Transport};
pub use error::{ConfigError, Problem};
pub use file::{FileState, SettingsFile};
pub use flags::Flags;
pub use layers::Entry;
pub use misfit::Misfit;
pub use origin::{Layer, Origin, Position};
pub use pairs::{Headers, NamedText, Platform};
pub use path::Program;
pub use remote::{Credential, Identity, RemoteSettings};
pub use secret::Secret;
pub use settings::{
    BuildSettings, CacheSettings, DkmsSettings, RemoteCacheSettings, RemoteExecSettings, Settings,
    SigningSettings, Strict,
};
pub use trust::{Moment, TrustedKey};
pub use value::{Color, Seconds, Size, TimeLimit};
