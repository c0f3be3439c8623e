//! The one table of metric families, in parts by subject. What is not in it is not exported.
//!
//! Names, labels, units and meanings are cAdvisor's wherever a source means the same; what is new has the prefix
//! `ringside_`. A family without a source on the running kernel gives no series.

pub mod agent;
pub mod compat;
mod computed;
mod cpu;
mod detail;
mod inside;
mod io;
mod memory;
mod network;
mod node;
mod node_memory;
mod node_network;
mod node_system;
mod node_value;
mod sets;
mod spec;
mod storage;

use super::family::Family;

/// Every family, in the order of the exposition.
pub const FAMILIES: &[&[Family]] = &[
    spec::FAMILIES,
    cpu::FAMILIES,
    memory::FAMILIES,
    io::FAMILIES,
    storage::FAMILIES,
    network::FAMILIES,
    detail::FAMILIES,
    detail::PEAKS,
    detail::TALLIES,
    inside::FAMILIES,
    inside::DISTRIBUTIONS,
    inside::SUMS,
    node::MACHINE,
    node::FAMILIES,
    node_memory::FAMILIES,
    node_network::FAMILIES,
    node_system::FAMILIES,
    node::OWN,
    sets::MACHINE,
    sets::FAMILIES,
    sets::READING,
];

/// All families one after the other.
pub fn all() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().flat_map(|families| families.iter())
}
