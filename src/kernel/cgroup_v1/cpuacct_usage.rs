//! `cpuacct.usage` of cgroup v1: CPU time.
//!
//! In: `953363227159`. Out: nanoseconds, a counter; v2 has microseconds, so the reader divides.
//! Source: `Documentation/admin-guide/cgroup-v1/cpuacct.rst`. Never reads. Next: the cgroup reader of `sample/`.

use crate::kernel::cgroup::parse_value;
use crate::kernel::parse::Malformed;

/// Parses `cpuacct.usage` into nanoseconds.
///
/// # Errors
/// [`Malformed`] when the file is not exactly one number and a newline.
pub fn parse_cpuacct_usage(bytes: &[u8]) -> Result<u64, Malformed> {
    parse_value(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_nanoseconds() {
        assert_eq!(parse_cpuacct_usage(b"953363227159\n"), Ok(953_363_227_159));
        assert_eq!(parse_cpuacct_usage(b"953363227159"), Err(Malformed));
    }
}
