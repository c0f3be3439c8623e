//! Facts about who is let in.
