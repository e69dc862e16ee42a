//! The page in a real headless Chromium, opened from a file as a reader opens it.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

#[path = "browser/comparing.rs"]
mod comparing;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/hostile.rs"]
mod hostile;
#[path = "browser/large.rs"]
mod large;
#[path = "browser/reading.rs"]
mod reading;

#[path = "fleet/mod.rs"]
mod fleet;
