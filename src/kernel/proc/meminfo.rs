//! `/proc/meminfo`: where the node's memory is.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/filesystems/proc.rst`.
//! The kernel prints KiB as `kB`; the struct has bytes, checked. Never reads, never allocates. Next: the node reader of `sample/`.

use crate::kernel::parse::{Key, decimal, parse_keyed_by};

/// The keys of `/proc/meminfo` that the catalogue shows. Those of options that the kernel lacks are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meminfo {
    /// `MemTotal`: usable memory; bytes, gauge.
    pub mem_total_bytes: Option<u64>,
    /// `MemFree`: unused memory; bytes, gauge.
    pub mem_free_bytes: Option<u64>,
    /// `MemAvailable`: estimate of what can be had without swapping; bytes, gauge; Linux 3.14 and later.
    pub mem_available_bytes: Option<u64>,
    /// `Buffers`: bytes, gauge.
    pub buffers_bytes: Option<u64>,
    /// `Cached`: bytes, gauge.
    pub cached_bytes: Option<u64>,
    /// `SwapCached`: bytes, gauge.
    pub swap_cached_bytes: Option<u64>,
    /// `Active`: bytes, gauge.
    pub active_bytes: Option<u64>,
    /// `Inactive`: bytes, gauge.
    pub inactive_bytes: Option<u64>,
    /// `Active(anon)`: bytes, gauge.
    pub active_anon_bytes: Option<u64>,
    /// `Inactive(anon)`: bytes, gauge.
    pub inactive_anon_bytes: Option<u64>,
    /// `Active(file)`: bytes, gauge.
    pub active_file_bytes: Option<u64>,
    /// `Inactive(file)`: bytes, gauge.
    pub inactive_file_bytes: Option<u64>,
    /// `Unevictable`: bytes, gauge.
    pub unevictable_bytes: Option<u64>,
    /// `Mlocked`: bytes, gauge.
    pub mlocked_bytes: Option<u64>,
    /// `SwapTotal`: bytes, gauge.
    pub swap_total_bytes: Option<u64>,
    /// `SwapFree`: bytes, gauge.
    pub swap_free_bytes: Option<u64>,
    /// `Zswap`: memory zswap takes; bytes, gauge; Linux 5.19 and later.
    pub zswap_bytes: Option<u64>,
    /// `Zswapped`: memory swapped into zswap; bytes, gauge; Linux 5.19 and later.
    pub zswapped_bytes: Option<u64>,
    /// `Dirty`: bytes, gauge.
    pub dirty_bytes: Option<u64>,
    /// `Writeback`: bytes, gauge.
    pub writeback_bytes: Option<u64>,
    /// `AnonPages`: bytes, gauge.
    pub anon_pages_bytes: Option<u64>,
    /// `Mapped`: bytes, gauge.
    pub mapped_bytes: Option<u64>,
    /// `Shmem`: bytes, gauge.
    pub shmem_bytes: Option<u64>,
    /// `KReclaimable`: bytes, gauge.
    pub kreclaimable_bytes: Option<u64>,
    /// `Slab`: bytes, gauge.
    pub slab_bytes: Option<u64>,
    /// `SReclaimable`: bytes, gauge.
    pub sreclaimable_bytes: Option<u64>,
    /// `SUnreclaim`: bytes, gauge.
    pub sunreclaim_bytes: Option<u64>,
    /// `KernelStack`: bytes, gauge.
    pub kernel_stack_bytes: Option<u64>,
    /// `PageTables`: bytes, gauge.
    pub page_tables_bytes: Option<u64>,
    /// `SecPageTables`: bytes, gauge.
    pub sec_page_tables_bytes: Option<u64>,
    /// `NFS_Unstable`: bytes, gauge.
    pub nfs_unstable_bytes: Option<u64>,
    /// `Bounce`: bytes, gauge.
    pub bounce_bytes: Option<u64>,
    /// `WritebackTmp`: bytes, gauge.
    pub writeback_tmp_bytes: Option<u64>,
    /// `CommitLimit`: bytes, gauge.
    pub commit_limit_bytes: Option<u64>,
    /// `Committed_AS`: bytes, gauge.
    pub committed_as_bytes: Option<u64>,
    /// `VmallocTotal`: bytes, gauge.
    pub vmalloc_total_bytes: Option<u64>,
    /// `VmallocUsed`: bytes, gauge.
    pub vmalloc_used_bytes: Option<u64>,
    /// `VmallocChunk`: bytes, gauge.
    pub vmalloc_chunk_bytes: Option<u64>,
    /// `Percpu`: bytes, gauge.
    pub percpu_bytes: Option<u64>,
    /// `AnonHugePages`: bytes, gauge.
    pub anon_huge_pages_bytes: Option<u64>,
    /// `ShmemHugePages`: bytes, gauge.
    pub shmem_huge_pages_bytes: Option<u64>,
    /// `ShmemPmdMapped`: bytes, gauge.
    pub shmem_pmd_mapped_bytes: Option<u64>,
    /// `FileHugePages`: bytes, gauge.
    pub file_huge_pages_bytes: Option<u64>,
    /// `FilePmdMapped`: bytes, gauge.
    pub file_pmd_mapped_bytes: Option<u64>,
    /// `HugePages_Total`: pages of the default huge size, gauge.
    pub huge_pages_total: Option<u64>,
    /// `HugePages_Free`: pages of the default huge size, gauge.
    pub huge_pages_free: Option<u64>,
    /// `HugePages_Rsvd`: pages of the default huge size, gauge.
    pub huge_pages_rsvd: Option<u64>,
    /// `Unaccepted`: memory of a confidential guest that it has not accepted yet; bytes, gauge; Linux 6.5 and later.
    pub unaccepted_bytes: Option<u64>,
    /// `Balloon`: memory given back to the host; bytes, gauge; Linux 6.16 and later.
    pub balloon_bytes: Option<u64>,
    /// `HugePages_Surp`: pages of the default huge size, gauge.
    pub huge_pages_surp: Option<u64>,
    /// `Hugepagesize`: bytes, gauge.
    pub hugepagesize_bytes: Option<u64>,
    /// `Hugetlb`: bytes, gauge.
    pub hugetlb_bytes: Option<u64>,
    /// `DirectMap4k`: bytes, gauge.
    pub direct_map4k_bytes: Option<u64>,
    /// `DirectMap2M`: bytes, gauge.
    pub direct_map2_m_bytes: Option<u64>,
    /// `DirectMap1G`: bytes, gauge.
    pub direct_map1_g_bytes: Option<u64>,
    /// `HardwareCorrupted`: bytes, gauge.
    pub hardware_corrupted_bytes: Option<u64>,
    /// `CmaTotal`: bytes, gauge.
    pub cma_total_bytes: Option<u64>,
    /// `CmaFree`: bytes, gauge.
    pub cma_free_bytes: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<Meminfo>] = &[
    Key { name: b"MemTotal:", slot: |stat| &mut stat.mem_total_bytes },
    Key { name: b"MemFree:", slot: |stat| &mut stat.mem_free_bytes },
    Key { name: b"MemAvailable:", slot: |stat| &mut stat.mem_available_bytes },
    Key { name: b"Buffers:", slot: |stat| &mut stat.buffers_bytes },
    Key { name: b"Cached:", slot: |stat| &mut stat.cached_bytes },
    Key { name: b"SwapCached:", slot: |stat| &mut stat.swap_cached_bytes },
    Key { name: b"Active:", slot: |stat| &mut stat.active_bytes },
    Key { name: b"Inactive:", slot: |stat| &mut stat.inactive_bytes },
    Key { name: b"Active(anon):", slot: |stat| &mut stat.active_anon_bytes },
    Key { name: b"Inactive(anon):", slot: |stat| &mut stat.inactive_anon_bytes },
    Key { name: b"Active(file):", slot: |stat| &mut stat.active_file_bytes },
    Key { name: b"Inactive(file):", slot: |stat| &mut stat.inactive_file_bytes },
    Key { name: b"Unevictable:", slot: |stat| &mut stat.unevictable_bytes },
    Key { name: b"Mlocked:", slot: |stat| &mut stat.mlocked_bytes },
    Key { name: b"SwapTotal:", slot: |stat| &mut stat.swap_total_bytes },
    Key { name: b"SwapFree:", slot: |stat| &mut stat.swap_free_bytes },
    Key { name: b"Zswap:", slot: |stat| &mut stat.zswap_bytes },
    Key { name: b"Zswapped:", slot: |stat| &mut stat.zswapped_bytes },
    Key { name: b"Dirty:", slot: |stat| &mut stat.dirty_bytes },
    Key { name: b"Writeback:", slot: |stat| &mut stat.writeback_bytes },
    Key { name: b"AnonPages:", slot: |stat| &mut stat.anon_pages_bytes },
    Key { name: b"Mapped:", slot: |stat| &mut stat.mapped_bytes },
    Key { name: b"Shmem:", slot: |stat| &mut stat.shmem_bytes },
    Key { name: b"KReclaimable:", slot: |stat| &mut stat.kreclaimable_bytes },
    Key { name: b"Slab:", slot: |stat| &mut stat.slab_bytes },
    Key { name: b"SReclaimable:", slot: |stat| &mut stat.sreclaimable_bytes },
    Key { name: b"SUnreclaim:", slot: |stat| &mut stat.sunreclaim_bytes },
    Key { name: b"KernelStack:", slot: |stat| &mut stat.kernel_stack_bytes },
    Key { name: b"PageTables:", slot: |stat| &mut stat.page_tables_bytes },
    Key { name: b"SecPageTables:", slot: |stat| &mut stat.sec_page_tables_bytes },
    Key { name: b"NFS_Unstable:", slot: |stat| &mut stat.nfs_unstable_bytes },
    Key { name: b"Bounce:", slot: |stat| &mut stat.bounce_bytes },
    Key { name: b"WritebackTmp:", slot: |stat| &mut stat.writeback_tmp_bytes },
    Key { name: b"CommitLimit:", slot: |stat| &mut stat.commit_limit_bytes },
    Key { name: b"Committed_AS:", slot: |stat| &mut stat.committed_as_bytes },
    Key { name: b"VmallocTotal:", slot: |stat| &mut stat.vmalloc_total_bytes },
    Key { name: b"VmallocUsed:", slot: |stat| &mut stat.vmalloc_used_bytes },
    Key { name: b"VmallocChunk:", slot: |stat| &mut stat.vmalloc_chunk_bytes },
    Key { name: b"Percpu:", slot: |stat| &mut stat.percpu_bytes },
    Key { name: b"AnonHugePages:", slot: |stat| &mut stat.anon_huge_pages_bytes },
    Key { name: b"ShmemHugePages:", slot: |stat| &mut stat.shmem_huge_pages_bytes },
    Key { name: b"ShmemPmdMapped:", slot: |stat| &mut stat.shmem_pmd_mapped_bytes },
    Key { name: b"FileHugePages:", slot: |stat| &mut stat.file_huge_pages_bytes },
    Key { name: b"FilePmdMapped:", slot: |stat| &mut stat.file_pmd_mapped_bytes },
    Key { name: b"Unaccepted:", slot: |stat| &mut stat.unaccepted_bytes },
    Key { name: b"Balloon:", slot: |stat| &mut stat.balloon_bytes },
    Key { name: b"HugePages_Total:", slot: |stat| &mut stat.huge_pages_total },
    Key { name: b"HugePages_Free:", slot: |stat| &mut stat.huge_pages_free },
    Key { name: b"HugePages_Rsvd:", slot: |stat| &mut stat.huge_pages_rsvd },
    Key { name: b"HugePages_Surp:", slot: |stat| &mut stat.huge_pages_surp },
    Key { name: b"Hugepagesize:", slot: |stat| &mut stat.hugepagesize_bytes },
    Key { name: b"Hugetlb:", slot: |stat| &mut stat.hugetlb_bytes },
    Key { name: b"DirectMap4k:", slot: |stat| &mut stat.direct_map4k_bytes },
    Key { name: b"DirectMap2M:", slot: |stat| &mut stat.direct_map2_m_bytes },
    Key { name: b"DirectMap1G:", slot: |stat| &mut stat.direct_map1_g_bytes },
    Key { name: b"HardwareCorrupted:", slot: |stat| &mut stat.hardware_corrupted_bytes },
    Key { name: b"CmaTotal:", slot: |stat| &mut stat.cma_total_bytes },
    Key { name: b"CmaFree:", slot: |stat| &mut stat.cma_free_bytes },
];

/// Parses `/proc/meminfo`.
#[must_use]
pub fn parse_meminfo(bytes: &[u8]) -> Meminfo {
    let mut stat = Meminfo::default();
    parse_keyed_by(bytes, KEYS, &mut stat, number);
    stat
}

/// `24684092 kB` in bytes; the `HugePages_` keys are counts and have no unit.
fn number(key: &Key<Meminfo>, value: &[u8]) -> Option<u64> {
    if key.name.starts_with(b"HugePages_") {
        return decimal(value);
    }
    let kibibytes = decimal(value.strip_suffix(b" kB")?)?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
MemTotal:       24684092 kB
MemFree:        22796600 kB
MemAvailable:   24037540 kB
Buffers:            8044 kB
Cached:          1321400 kB
SwapCached:            0 kB
Active:           625960 kB
Inactive:         789292 kB
Active(anon):       1572 kB
Inactive(anon):    93368 kB
Active(file):     624388 kB
Inactive(file):   695924 kB
Unevictable:       18804 kB
Mlocked:           17904 kB
SwapTotal:             0 kB
SwapFree:              0 kB
Zswap:                 0 kB
Zswapped:              0 kB
Dirty:             18456 kB
Writeback:             0 kB
AnonPages:        104976 kB
Mapped:            38888 kB
Shmem:              8856 kB
KReclaimable:     321908 kB
Slab:             357740 kB
SReclaimable:     321908 kB
SUnreclaim:        35832 kB
KernelStack:        1624 kB
PageTables:         2504 kB
SecPageTables:         0 kB
NFS_Unstable:          0 kB
Bounce:                0 kB
WritebackTmp:          0 kB
CommitLimit:    12342044 kB
Committed_AS:     163752 kB
VmallocTotal:   34359738367 kB
VmallocUsed:       14444 kB
VmallocChunk:          0 kB
Percpu:              856 kB
AnonHugePages:         0 kB
ShmemHugePages:        0 kB
ShmemPmdMapped:        0 kB
FileHugePages:         0 kB
FilePmdMapped:         0 kB
Balloon:               0 kB
HugePages_Total:       0
HugePages_Free:        0
HugePages_Rsvd:        0
HugePages_Surp:        0
Hugepagesize:       2048 kB
Hugetlb:               0 kB
DirectMap4k:       28672 kB
DirectMap2M:     2068480 kB
DirectMap1G:    25165824 kB
";

    #[test]
    fn kilobytes_become_bytes_and_page_counts_stay() {
        let info = parse_meminfo(SAMPLE);
        assert_eq!(info.mem_total_bytes, Some(24_684_092 * 1024));
        assert_eq!(info.vmalloc_total_bytes, Some(34_359_738_367 * 1024));
        assert_eq!((info.huge_pages_total, info.hugepagesize_bytes), (Some(0), Some(2048 * 1024)));
    }

    #[test]
    fn a_size_without_its_unit_or_too_big_for_bytes_is_absent() {
        let info = parse_meminfo(
            b"MemTotal: 5\nMemFree: 18014398509481984 kB\nCached: 18014398509481983 kB\nHugePages_Free: 3 kB\n",
        );
        assert_eq!((info.mem_total_bytes, info.mem_free_bytes, info.huge_pages_free), (None, None, None));
        assert_eq!(info.cached_bytes, Some(18_014_398_509_481_983 * 1024));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 40, |bytes| testing::keyed(KEYS, parse_meminfo(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_meminfo(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_meminfo(bytes)));
    }
}
