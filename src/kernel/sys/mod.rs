//! Files of `/sys` that hold one value.
//!
//! In: one file's bytes. Out: its number, or nothing. Source: `Documentation/filesystems/sysfs.rst` (one value per file),
//! `Documentation/ABI/`. Never reads. Next: the details of the node in `sample/`.

pub mod integer;

pub use integer::parse_integer;
