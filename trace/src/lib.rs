//! Learns which paths the processes below a command look up: opened, executed, listed, or looked for in vain.
//!
//! A seccomp filter stops each system call that takes a path, reads the path, and lets the call go on
//! (seccomp_unotify(2)). The filter is inherited and cannot be taken off, so static programs and scripts, and what they
//! start, are seen too; a call that the tables do not know makes the [`Trace`] incomplete rather than wrong. What
//! the paths mean, and which of them count, is the caller's to know.
//!
//! A process that changes a path in its memory between the look and the call can hide it. Whoever believes a trace
//! believes the traced programs that far: their own result is what they could spoil by it.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod answers;
pub mod bpf;
mod calls;
mod filter;
mod interpreter;
mod judge;
mod lookup;
mod resolve;
mod sockets;
mod supervise;
mod sys;

pub use answers::{MEMORY, PROCESSORS};
pub use filter::stops_for_tracer;
pub use judge::{Judge, Machine};
pub use lookup::{Gap, Lookup, Trace, Use, by_name};
pub use supervise::{Tracing, trace};
