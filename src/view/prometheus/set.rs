//! The sets that families are chosen by, as [`sample`](crate::sample::sets) has them: readers of what is read off the
//! tick ask the same list.
//!
//! In: nothing. Out: one [`Set`] for each family. Next: [`family`](super::family), [`plan`](super::plan).

pub use crate::sample::sets::{NAMED, Named, Set, Sets, UnknownSet};
