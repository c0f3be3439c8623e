//! `/proc/sys/fs/file-nr`: how many files are open on the node.
//!
//! In: three numbers. Out: one struct. Source: `Documentation/admin-guide/sysctl/fs.rst`. Never reads, never allocates.
//! Next: the details of the node in `sample/`.

use crate::kernel::parse::{fields, only_line};

/// The file; gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileNr {
    /// Field 1: file handles in use.
    pub allocated: Option<u64>,
    /// Field 3: most file handles.
    pub maximum: Option<u64>,
}

/// Parses the file. Field 2 has been 0 since Linux 2.6.
#[must_use]
pub fn parse_file_nr(bytes: &[u8]) -> FileNr {
    let Ok(line) = only_line(bytes) else { return FileNr::default() };
    let mut words = fields(line);
    let (allocated, _, maximum) = (words.decimal(), words.next(), words.decimal());
    FileNr { allocated, maximum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"1333\t0\t2466177\n";

    fn values(bytes: &[u8]) -> testing::Values {
        let file = parse_file_nr(bytes);
        testing::named([("allocated", file.allocated), ("maximum", file.maximum)])
    }

    #[test]
    fn the_first_and_the_last_number_are_taken() {
        assert_eq!(parse_file_nr(SAMPLE), FileNr { allocated: Some(1333), maximum: Some(2_466_177) });
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 2, values);
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, values);
    }
}
