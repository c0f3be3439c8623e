//! `memory.stat` of cgroup v1: what the memory is made of.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v1/memory.rst`.
//! The plain keys count this cgroup alone; the `total_` keys count the ones below too, as v2 and `memory.usage_in_bytes` do, and only
//! those are taken. Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The `total_` keys of v1 `memory.stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryStat {
    /// `total_cache`: page cache, tmpfs included; bytes, gauge.
    pub total_cache_bytes: Option<u64>,
    /// `total_rss`: anonymous memory and swap cache; bytes, gauge; not the resident set of the processes.
    pub total_rss_bytes: Option<u64>,
    /// `total_rss_huge`: anonymous transparent huge pages; bytes, gauge.
    pub total_rss_huge_bytes: Option<u64>,
    /// `total_shmem`: tmpfs, shm and shared anonymous; bytes, gauge; not in older kernels.
    pub total_shmem_bytes: Option<u64>,
    /// `total_mapped_file`: page cache mapped by processes; bytes, gauge.
    pub total_mapped_file_bytes: Option<u64>,
    /// `total_dirty`: page cache waiting to be written; bytes, gauge.
    pub total_dirty_bytes: Option<u64>,
    /// `total_writeback`: page cache being written; bytes, gauge.
    pub total_writeback_bytes: Option<u64>,
    /// `total_workingset_refault_anon`: anonymous pages refaulted; counter; not in older kernels.
    pub total_workingset_refault_anon: Option<u64>,
    /// `total_workingset_refault_file`: file pages refaulted; counter; not in older kernels.
    pub total_workingset_refault_file: Option<u64>,
    /// `total_swap`: swap used; bytes, gauge; only with swap accounting.
    pub total_swap_bytes: Option<u64>,
    /// `total_swapcached`: swap cached in memory; bytes, gauge; not in older kernels.
    pub total_swapcached_bytes: Option<u64>,
    /// `total_pgpgin`: pages charged; counter.
    pub total_pgpgin: Option<u64>,
    /// `total_pgpgout`: pages uncharged; counter.
    pub total_pgpgout: Option<u64>,
    /// `total_pgfault`: page faults; counter.
    pub total_pgfault: Option<u64>,
    /// `total_pgmajfault`: major page faults; counter.
    pub total_pgmajfault: Option<u64>,
    /// `total_inactive_anon`: inactive anonymous LRU list; bytes, gauge.
    pub total_inactive_anon_bytes: Option<u64>,
    /// `total_active_anon`: active anonymous LRU list; bytes, gauge.
    pub total_active_anon_bytes: Option<u64>,
    /// `total_inactive_file`: inactive file LRU list; bytes, gauge; the working set leaves it out.
    pub total_inactive_file_bytes: Option<u64>,
    /// `total_active_file`: active file LRU list; bytes, gauge.
    pub total_active_file_bytes: Option<u64>,
    /// `total_unevictable`: unevictable LRU list; bytes, gauge.
    pub total_unevictable_bytes: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<MemoryStat>] = &[
    Key { name: b"total_cache", slot: |stat| &mut stat.total_cache_bytes },
    Key { name: b"total_rss", slot: |stat| &mut stat.total_rss_bytes },
    Key { name: b"total_rss_huge", slot: |stat| &mut stat.total_rss_huge_bytes },
    Key { name: b"total_shmem", slot: |stat| &mut stat.total_shmem_bytes },
    Key { name: b"total_mapped_file", slot: |stat| &mut stat.total_mapped_file_bytes },
    Key { name: b"total_dirty", slot: |stat| &mut stat.total_dirty_bytes },
    Key { name: b"total_writeback", slot: |stat| &mut stat.total_writeback_bytes },
    Key { name: b"total_workingset_refault_anon", slot: |stat| &mut stat.total_workingset_refault_anon },
    Key { name: b"total_workingset_refault_file", slot: |stat| &mut stat.total_workingset_refault_file },
    Key { name: b"total_swap", slot: |stat| &mut stat.total_swap_bytes },
    Key { name: b"total_swapcached", slot: |stat| &mut stat.total_swapcached_bytes },
    Key { name: b"total_pgpgin", slot: |stat| &mut stat.total_pgpgin },
    Key { name: b"total_pgpgout", slot: |stat| &mut stat.total_pgpgout },
    Key { name: b"total_pgfault", slot: |stat| &mut stat.total_pgfault },
    Key { name: b"total_pgmajfault", slot: |stat| &mut stat.total_pgmajfault },
    Key { name: b"total_inactive_anon", slot: |stat| &mut stat.total_inactive_anon_bytes },
    Key { name: b"total_active_anon", slot: |stat| &mut stat.total_active_anon_bytes },
    Key { name: b"total_inactive_file", slot: |stat| &mut stat.total_inactive_file_bytes },
    Key { name: b"total_active_file", slot: |stat| &mut stat.total_active_file_bytes },
    Key { name: b"total_unevictable", slot: |stat| &mut stat.total_unevictable_bytes },
];

/// Parses v1 `memory.stat`.
#[must_use]
pub fn parse_memory_stat(bytes: &[u8]) -> MemoryStat {
    let mut stat = MemoryStat::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
cache 9498624
rss 11718656
rss_huge 0
shmem 9068544
mapped_file 7671808
dirty 106496
writeback 0
workingset_refault_anon 0
workingset_refault_file 2034
swap 0
swapcached 0
pgpgin 42783
pgpgout 37603
pgfault 52219
pgmajfault 0
inactive_anon 0
active_anon 1531904
inactive_file 0
active_file 430080
unevictable 19255296
hierarchical_memory_limit 9223372036854771712
hierarchical_memsw_limit 9223372036854771712
total_cache 1360592896
total_rss 107601920
total_rss_huge 0
total_shmem 9068544
total_mapped_file 39862272
total_dirty 18194432
total_writeback 0
total_workingset_refault_anon 0
total_workingset_refault_file 4227452
total_swap 0
total_swapcached 0
total_pgpgin 43040165
total_pgpgout 42708739
total_pgfault 46580930
total_pgmajfault 13279
total_inactive_anon 95801344
total_active_anon 1613824
total_inactive_file 711938048
total_active_file 639537152
total_unevictable 19255296
";

    #[test]
    fn the_totals_are_taken_and_not_the_cgroups_own_part() {
        let stat = parse_memory_stat(
            b"cache 1\nrss 2\nhierarchical_memory_limit 3\ntotal_cache 11\ntotal_rss 12\ntotal_rss_huge 13\n",
        );
        assert_eq!(
            (stat.total_cache_bytes, stat.total_rss_bytes, stat.total_rss_huge_bytes),
            (Some(11), Some(12), Some(13))
        );
        assert_eq!(stat.total_swap_bytes, None);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 20, |bytes| testing::keyed(KEYS, parse_memory_stat(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_stat(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_memory_stat(bytes)));
    }
}
