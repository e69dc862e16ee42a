//! Where an action runs: what it can see, and as whom.
//!
//! Under bubblewrap an action sees read-only system directories, the trees that are
//! bound for it, and one writable scratch directory. Where bubblewrap may not run, the
//! same action runs in a bare process with a scratch dkms tree; its paths are then part
//! of its key. Which of the two it is, [`Isolation`] knows; what a path is called on
//! the inside, [`Layout`] knows; nobody else has to.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod bare;
mod bubblewrap;
mod isolation;
mod landlock;
mod layout;
mod limits;
mod make_call;
mod make_options;
mod noexec;
mod own_tree;
mod proc;
mod processes;
mod protection;
mod refusals;
mod room;
mod scratch;
mod shims;
mod sys;
mod user;
mod view;
mod watch;

pub use bubblewrap::unames;
pub use bubblewrap::{ETC_DIRECTORIES, ETC_FILES, SYSTEM_DIRECTORIES};
pub use bubblewrap::{TEMPORARY, covers};
pub use isolation::{Isolation, IsolationError};
pub use isolation::{is_shortage, shortages};
pub use layout::{Layout, Trees, package_dir};
pub use limits::{
    are_low as are_limits_low, is_stack_low, low as low_limits, settle as settle_limits,
};
pub use make_call::{MakeSettings, is_called_as_make, make};
pub use noexec::{forbids_execution, without_execution};
pub use own_tree::OwnTree;
pub use proc::machine;
pub use processes::MemoryGauge;
pub use protection::Protection;
pub use scratch::{BUILD_EPOCH, Scratch, ScratchBase, copy_tree};
pub use shims::quote;
pub use shims::{MAKE_SCRIPT, make_script, uname_script, write_program, write_uname};
pub use sys::{settle_descriptors, settle_personality};
pub use user::BuildUser;
pub use view::View;
pub use watch::{
    Attention, Disturbance, Shortage, is_called_to_watch, watch, watch_with_this_program,
};
