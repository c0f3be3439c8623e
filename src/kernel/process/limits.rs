//! `/proc/PID/limits`: the soft limit on open files of one process.
//!
//! In: the file's table. Out: a number. Source: `fs/proc/base.c` (`proc_pid_limits`). Never reads. Next: the process reader
//! of `sample/details/`.

use crate::kernel::parse::{complete_lines, decimal, fields};
use crate::units::Limit;

/// The soft `Max open files`; `None` when the file has no such line or no number in it.
#[must_use]
pub fn parse_max_open_files(bytes: &[u8]) -> Option<Limit> {
    let columns = complete_lines(bytes).find_map(|line| line.strip_prefix(b"Max open files "))?;
    match fields(columns).next()? {
        b"unlimited" => Some(Limit::Unlimited),
        digits => decimal(digits).map(Limit::At),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max processes             15653                15653                processes 
Max open files            1024                 524288               files     
Max locked memory         8388608              8388608              bytes     
";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named([("files", parse_max_open_files(bytes).and_then(Limit::at))])
    }

    #[test]
    fn the_soft_limit_is_the_first_number() {
        assert_eq!(parse_max_open_files(SAMPLE), Some(Limit::At(1024)));
        assert_eq!(parse_max_open_files(b"Max open files            unlimited   5 files\n"), Some(Limit::Unlimited));
        assert_eq!(parse_max_open_files(b"Max open files            -1   5 files\n"), None);
        assert_eq!(parse_max_open_files(b"Max open files            1024"), None);
    }

    #[test]
    fn a_cut_file_and_any_bytes_are_survived() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 1, values);
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
