//! `memory.numa_stat` of cgroup v2 and v1: memory by kind and NUMA node.
//!
//! In: lines like `anon N0=4096 N1=0` (v2: bytes, of the whole subtree) or `hierarchical_anon=12 N0=12` (v1: pages). Out:
//! each line's key and its nodes. Source: `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst`. Never reads,
//! never allocates. Next: the NUMA reader of `sample/details/`.

use crate::kernel::parse::{Fields, Lines, complete_lines, decimal, decimal_u32, fields, split_once};

/// One line.
#[derive(Debug, Clone)]
pub struct NumaLine<'a> {
    /// `anon`, `file`, `hierarchical_total`, …
    pub key: &'a [u8],
    nodes: Fields<'a>,
}

/// Iterator over lines; see [`parse_numa_stat`].
#[derive(Debug, Clone)]
pub struct NumaLines<'a> {
    lines: Lines<'a>,
}

/// The lines of `memory.numa_stat`.
#[must_use]
pub const fn parse_numa_stat(bytes: &[u8]) -> NumaLines<'_> {
    NumaLines { lines: complete_lines(bytes) }
}

impl<'a> Iterator for NumaLines<'a> {
    type Item = NumaLine<'a>;

    fn next(&mut self) -> Option<NumaLine<'a>> {
        self.lines.by_ref().find_map(|line| {
            let mut nodes = fields(line);
            let first = nodes.next()?;
            // Version 1 adds the sum over all nodes.
            let key = split_once(first, b'=').map_or(first, |(key, _)| key);
            Some(NumaLine { key, nodes })
        })
    }
}

impl NumaLine<'_> {
    /// Node numbers and their values, in the file's order; what is no such pair is left out.
    pub fn nodes(&self) -> impl Iterator<Item = (u32, u64)> {
        self.nodes.clone().filter_map(|field| {
            let (node, value) = split_once(field.strip_prefix(b"N")?, b'=')?;
            Some((decimal_u32(node)?, decimal(value)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const V2: &[u8] = b"anon N0=1486848 N1=4096\nfile N0=0 N1=0\nunevictable N0=12288 N1=0\n";
    const V1: &[u8] = b"total=363 N0=362 N1=1\nfile=0 N0=0 N1=0\nhierarchical_anon=363 N0=362 N1=1\n";

    fn values(bytes: &[u8]) -> testing::Values {
        testing::named(parse_numa_stat(bytes).flat_map(|line| {
            let key = String::from_utf8_lossy(line.key).into_owned();
            line.nodes().map(move |(node, value)| (format!("{key} {node}"), Some(value))).collect::<Vec<_>>()
        }))
    }

    #[test]
    fn both_versions_are_keys_with_nodes() {
        assert_eq!(values(V2)["anon 0"], 1_486_848);
        assert_eq!(values(V2)["unevictable 1"], 0);
        assert_eq!(values(V1)["hierarchical_anon 0"], 362);
        assert_eq!(values(V1)["total 1"], 1);
        assert_eq!(values(b"anon N0=x N1=5 6 Nx=1\n"), testing::named([("anon 1", Some(5))]));
    }

    #[test]
    fn a_cut_or_damaged_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(V2, 6, values);
        testing::cut_anywhere_is_true_or_absent(V1, 6, values);
        testing::any_bytes_are_survived(V1, values);
    }
}
