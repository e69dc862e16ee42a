//! What kiln's dkms does and dkms does not, or not so well.

mod checks;
mod depmod;
mod disks;
mod enforcement;
mod hidden;
mod kernels;
mod layouts;
mod processes;
mod siblings;
mod status;
