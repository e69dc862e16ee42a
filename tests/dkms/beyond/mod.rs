//! What kiln's dkms does and dkms does not, or not so well.

mod checks;
mod depmod;
mod disks;
mod enforcement;
mod kernels;
mod processes;
mod siblings;
mod status;
