//! The folder of a farm when a run is stopped, or the power fails.

mod power;
