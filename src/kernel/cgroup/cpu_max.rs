//! `cpu.max` of cgroup v2: quota and period.
//!
//! In: `max 100000` or `50000 100000`. Out: [`CpuMax`]. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads. Next: the cgroup reader of `sample/`. The file is absent in the root cgroup.

use super::value::limit;
use crate::kernel::parse::{Malformed, fields, only_line};
use crate::units::Limit;

/// What `cpu.max` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMax {
    /// First field: CPU time allowed in each period; µs, limit.
    pub quota_usec: Limit,
    /// Second field: length of a period; µs, gauge. `None` when it is not a number.
    pub period_usec: Option<u64>,
}

/// Parses `cpu.max`.
///
/// # Errors
/// [`Malformed`] when there is no complete line or its quota is neither a number nor `max`.
pub fn parse_cpu_max(bytes: &[u8]) -> Result<CpuMax, Malformed> {
    let mut fields = fields(only_line(bytes)?);
    let quota_usec = limit(fields.next().ok_or(Malformed)?)?;
    Ok(CpuMax { quota_usec, period_usec: fields.decimal() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    fn values(bytes: &[u8]) -> testing::Values {
        let max = parse_cpu_max(bytes).ok();
        testing::named([
            ("quota", max.and_then(|max| max.quota_usec.at())),
            ("period", max.and_then(|max| max.period_usec)),
        ])
    }

    #[test]
    fn quota_and_period_are_apart_and_max_is_unlimited() {
        assert_eq!(
            parse_cpu_max(b"50000 100000\n"),
            Ok(CpuMax { quota_usec: Limit::At(50_000), period_usec: Some(100_000) })
        );
        assert_eq!(
            parse_cpu_max(b"max 100000\n"),
            Ok(CpuMax { quota_usec: Limit::Unlimited, period_usec: Some(100_000) })
        );
        assert_eq!(parse_cpu_max(b"max -1\n"), Ok(CpuMax { quota_usec: Limit::Unlimited, period_usec: None }));
        assert_eq!(parse_cpu_max(b"-1 100000\n"), Err(Malformed));
        assert_eq!(parse_cpu_max(b"\n"), Err(Malformed));
    }

    #[test]
    fn a_cut_or_damaged_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(b"50000 100000\n", 2, values);
        testing::bad_numbers_are_absent(b"50000 100000\n", values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(b"50000 100000\n", values);
    }
}
