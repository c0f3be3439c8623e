//! What is under fuzzing: the agent's own sources of `kernel/`, `units` and the cluster's store, without the rest of the
//! agent, so that a fuzz build takes seconds. It works because `kernel/` uses nothing but `units`, and `store/cluster/`
//! nothing but those and `store/wire.rs`.
#![allow(dead_code, reason = "the targets use the parsers, not the readers")]

#[path = "../../src/kernel/mod.rs"]
pub mod kernel;
#[path = "../../src/units.rs"]
pub mod units;
#[path = "../../src/store/cluster/mod.rs"]
pub mod cluster;
#[path = "../../src/store/wire.rs"]
mod wire;

/// Where the cluster's store looks for its neighbours.
mod store {
    pub(crate) use crate::wire;
}

/// The complete lines of `bytes`: what a parser may believe when the rest was cut.
#[must_use]
pub fn complete(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..length]
}

/// A torn last line changes nothing: parsing `bytes` gives what parsing its complete lines gives.
pub fn ignores_a_torn_line<T: PartialEq + std::fmt::Debug>(bytes: &[u8], parse: impl Fn(&[u8]) -> T) {
    assert_eq!(parse(bytes), parse(complete(bytes)), "a torn last line was believed");
}
