//! ringside: every container's counters, every second, with hours of memory.
//!
//! Data flows one way, and the modules stand in that order:
//!
//! ```text
//! kernel files ──► kernel ──► sample ──► store ──► view    Prometheus · JSON · terminal
//! runtimes, CRI ─► discover ──┘         (ring)
//! ```

pub mod config;
pub mod doctor;
pub mod logging;
pub mod units;

pub mod agent;
pub mod aggregator;

pub mod discover;
pub mod kernel;

pub mod sample;

pub mod store;

pub mod auth;

pub mod uplink;

pub mod view;
