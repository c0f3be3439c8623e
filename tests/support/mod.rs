//! The lab: real daemons, a real cgroup v2 machine and real scrapers for the integration tests.
//!
//! In: the programs that `tests/lab/setup.sh` installs. Out: guards; each starts one real thing in its own
//! temporary folder on its own ports and sockets, waits until it answers, and takes everything away again when it
//! is dropped or when the test process dies. Nothing here stands in for the real thing, and nothing is skipped:
//! what cannot start fails the test with the end of its log.
//!
//! A test file says `mod support;` and uses the parts it needs.
#![allow(dead_code, reason = "each test binary uses its own part of the lab")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a fault in the lab is a failed test, and a panic is how a test fails"
)]

pub mod agent;
pub mod cgroups;
pub mod cluster;
pub mod containerd;
pub mod cri;
pub mod docker;
pub mod exposition;
pub mod guest;
pub mod http;
pub mod kernel;
pub mod network;
pub mod node_exporter;
pub mod process;
pub mod prometheus;
pub mod tree;
pub mod victoria_metrics;
