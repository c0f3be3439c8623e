//! Lifecycle events: what happened to whom, as a list and as a stream.
//!
//! In: the ring's ticks, one after the other. Out: typed [`Event`]s with an id, an instant and who it was, the newest kept
//! within bounds, told to everybody who follows. It compares samples that are there already and reads no kernel file; it
//! runs beside the tick and never makes it wait. A tick that it could not look at costs the instant of an event, not the
//! event: what it compares are rosters and counts.
//!
//! | step | file |
//! |---|---|
//! | what an event is | [`event`] |
//! | two ticks → events | [`detect`]; [`endings`] for exits, [`window`] for throttling and pressure, `agent.rs` for the agent |
//! | the seconds before a kill, from the ring | [`last_seconds`] |
//! | the newest ones, and who waits for more | [`log`] |
//! | follow the ticks | [`follow`] |
//! | an event as JSON of the Elastic Common Schema | [`ecs`]; `lines.rs` writes it as a log line |
//! | an event as a server-sent event, and lists of them | [`stream`] |

mod agent;
pub mod detect;
pub mod ecs;
pub mod endings;
pub mod event;
mod follow;
pub mod last_seconds;
pub mod lines;
pub mod log;
pub mod stream;

#[cfg(test)]
mod tests;
pub mod window;

pub use detect::Detector;
pub use event::{Draft, Event, Figure, Kind, LastSecond, Number, Severity, Who};
pub use follow::follow;
pub use log::{Batch, EventLog};
