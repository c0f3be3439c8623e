//! `/proc/vmstat`: paging, reclaim, huge pages and NUMA of the node.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/sysctl/vm.rst, mm/vmstat.c`.
//! Never reads, never allocates. Next: the node reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `/proc/vmstat` that the catalogue shows. Pages are kernel pages; all are counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vmstat {
    /// `numa_hit`: counter; only with `CONFIG_NUMA`.
    pub numa_hit: Option<u64>,
    /// `numa_miss`: counter; only with `CONFIG_NUMA`.
    pub numa_miss: Option<u64>,
    /// `numa_foreign`: counter; only with `CONFIG_NUMA`.
    pub numa_foreign: Option<u64>,
    /// `workingset_refault_anon`: counter.
    pub workingset_refault_anon: Option<u64>,
    /// `workingset_refault_file`: counter.
    pub workingset_refault_file: Option<u64>,
    /// `workingset_activate_file`: counter.
    pub workingset_activate_file: Option<u64>,
    /// `pgpgin`: counter; KiB and not pages.
    pub pgpgin: Option<u64>,
    /// `pgpgout`: counter; KiB and not pages.
    pub pgpgout: Option<u64>,
    /// `pswpin`: counter.
    pub pswpin: Option<u64>,
    /// `pswpout`: counter.
    pub pswpout: Option<u64>,
    /// `pgalloc_normal`: counter.
    pub pgalloc_normal: Option<u64>,
    /// `allocstall_normal`: counter; `allocstall` before Linux 4.10, which is not taken.
    pub allocstall_normal: Option<u64>,
    /// `allocstall_movable`: counter; `allocstall` before Linux 4.10, which is not taken.
    pub allocstall_movable: Option<u64>,
    /// `pgfree`: counter.
    pub pgfree: Option<u64>,
    /// `pgactivate`: counter.
    pub pgactivate: Option<u64>,
    /// `pgdeactivate`: counter.
    pub pgdeactivate: Option<u64>,
    /// `pgfault`: counter.
    pub pgfault: Option<u64>,
    /// `pgmajfault`: counter.
    pub pgmajfault: Option<u64>,
    /// `pgrefill`: counter.
    pub pgrefill: Option<u64>,
    /// `pgsteal_kswapd`: counter.
    pub pgsteal_kswapd: Option<u64>,
    /// `pgsteal_direct`: counter.
    pub pgsteal_direct: Option<u64>,
    /// `pgsteal_khugepaged`: counter.
    pub pgsteal_khugepaged: Option<u64>,
    /// `pgscan_kswapd`: counter.
    pub pgscan_kswapd: Option<u64>,
    /// `pgscan_direct`: counter.
    pub pgscan_direct: Option<u64>,
    /// `pgscan_khugepaged`: counter.
    pub pgscan_khugepaged: Option<u64>,
    /// `oom_kill`: counter; Linux 4.13 and later.
    pub oom_kill: Option<u64>,
    /// `compact_stall`: counter; only with compaction.
    pub compact_stall: Option<u64>,
    /// `compact_fail`: counter; only with compaction.
    pub compact_fail: Option<u64>,
    /// `compact_success`: counter; only with compaction.
    pub compact_success: Option<u64>,
    /// `thp_fault_alloc`: counter; only with transparent huge pages.
    pub thp_fault_alloc: Option<u64>,
    /// `thp_collapse_alloc`: counter; only with transparent huge pages.
    pub thp_collapse_alloc: Option<u64>,
    /// `thp_split_page`: counter; only with transparent huge pages.
    pub thp_split_page: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<Vmstat>] = &[
    Key { name: b"numa_hit", slot: |stat| &mut stat.numa_hit },
    Key { name: b"numa_miss", slot: |stat| &mut stat.numa_miss },
    Key { name: b"numa_foreign", slot: |stat| &mut stat.numa_foreign },
    Key { name: b"workingset_refault_anon", slot: |stat| &mut stat.workingset_refault_anon },
    Key { name: b"workingset_refault_file", slot: |stat| &mut stat.workingset_refault_file },
    Key { name: b"workingset_activate_file", slot: |stat| &mut stat.workingset_activate_file },
    Key { name: b"pgpgin", slot: |stat| &mut stat.pgpgin },
    Key { name: b"pgpgout", slot: |stat| &mut stat.pgpgout },
    Key { name: b"pswpin", slot: |stat| &mut stat.pswpin },
    Key { name: b"pswpout", slot: |stat| &mut stat.pswpout },
    Key { name: b"pgalloc_normal", slot: |stat| &mut stat.pgalloc_normal },
    Key { name: b"allocstall_normal", slot: |stat| &mut stat.allocstall_normal },
    Key { name: b"allocstall_movable", slot: |stat| &mut stat.allocstall_movable },
    Key { name: b"pgfree", slot: |stat| &mut stat.pgfree },
    Key { name: b"pgactivate", slot: |stat| &mut stat.pgactivate },
    Key { name: b"pgdeactivate", slot: |stat| &mut stat.pgdeactivate },
    Key { name: b"pgfault", slot: |stat| &mut stat.pgfault },
    Key { name: b"pgmajfault", slot: |stat| &mut stat.pgmajfault },
    Key { name: b"pgrefill", slot: |stat| &mut stat.pgrefill },
    Key { name: b"pgsteal_kswapd", slot: |stat| &mut stat.pgsteal_kswapd },
    Key { name: b"pgsteal_direct", slot: |stat| &mut stat.pgsteal_direct },
    Key { name: b"pgsteal_khugepaged", slot: |stat| &mut stat.pgsteal_khugepaged },
    Key { name: b"pgscan_kswapd", slot: |stat| &mut stat.pgscan_kswapd },
    Key { name: b"pgscan_direct", slot: |stat| &mut stat.pgscan_direct },
    Key { name: b"pgscan_khugepaged", slot: |stat| &mut stat.pgscan_khugepaged },
    Key { name: b"oom_kill", slot: |stat| &mut stat.oom_kill },
    Key { name: b"compact_stall", slot: |stat| &mut stat.compact_stall },
    Key { name: b"compact_fail", slot: |stat| &mut stat.compact_fail },
    Key { name: b"compact_success", slot: |stat| &mut stat.compact_success },
    Key { name: b"thp_fault_alloc", slot: |stat| &mut stat.thp_fault_alloc },
    Key { name: b"thp_collapse_alloc", slot: |stat| &mut stat.thp_collapse_alloc },
    Key { name: b"thp_split_page", slot: |stat| &mut stat.thp_split_page },
];

/// Parses `/proc/vmstat`.
#[must_use]
pub fn parse_vmstat(bytes: &[u8]) -> Vmstat {
    let mut stat = Vmstat::default();
    parse_keyed(bytes, KEYS, &mut stat);
    stat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing;

    const SAMPLE: &[u8] = b"\
nr_free_pages 5699163
nr_free_pages_blocks 4901376
nr_zone_inactive_anon 23342
nr_zone_active_anon 393
nr_zone_inactive_file 173796
nr_zone_active_file 156097
nr_zone_unevictable 4701
nr_zone_write_pending 4470
nr_mlock 4476
nr_zspages 0
nr_free_cma 0
numa_hit 45832300
numa_miss 0
numa_foreign 0
numa_interleave 1131
numa_local 45832300
numa_other 0
nr_inactive_anon 23342
nr_active_anon 393
nr_inactive_file 173796
nr_active_file 156097
nr_unevictable 4701
nr_slab_reclaimable 80477
nr_slab_unreclaimable 8958
nr_isolated_anon 0
nr_isolated_file 0
workingset_nodes 112396
workingset_refault_anon 0
workingset_refault_file 4227404
workingset_activate_anon 0
workingset_activate_file 808677
workingset_restore_anon 0
workingset_restore_file 0
workingset_nodereclaim 0
nr_anon_pages 26244
nr_mapped 9722
nr_file_pages 332176
nr_dirty 4429
nr_writeback 0
nr_shmem 2214
nr_shmem_hugepages 0
nr_shmem_pmdmapped 0
nr_file_hugepages 0
nr_file_pmdmapped 0
nr_anon_transparent_hugepages 0
nr_vmscan_write 0
nr_vmscan_immediate_reclaim 48077
nr_dirtied 8179573
nr_written 7458958
nr_throttled_written 0
nr_kernel_misc_reclaimable 0
nr_foll_pin_acquired 483328
nr_foll_pin_released 483328
nr_kernel_stack 1624
nr_page_table_pages 626
nr_sec_page_table_pages 0
nr_iommu_pages 0
nr_swapcached 0
pgpromote_success 0
pgpromote_candidate 0
pgpromote_candidate_nrl 0
pgdemote_kswapd 0
pgdemote_direct 0
pgdemote_khugepaged 0
pgdemote_proactive 0
nr_hugetlb 0
nr_balloon_pages 0
nr_kernel_file_pages 0
nr_dirty_threshold 1194691
nr_dirty_background_threshold 596616
nr_memmap_pages 0
nr_memmap_boot_pages 98304
pgpgin 19309561
pgpgout 30756924
pswpin 0
pswpout 0
pgalloc_dma 0
pgalloc_dma32 89143
pgalloc_normal 55842405
pgalloc_movable 0
pgalloc_device 0
allocstall_dma 0
allocstall_dma32 0
allocstall_normal 0
allocstall_movable 0
allocstall_device 0
pgskip_dma 0
pgskip_dma32 0
pgskip_normal 0
pgskip_movable 0
pgskip_device 0
pgfree 61646616
pgactivate 2285700
pgdeactivate 0
pglazyfree 0
pgfault 46580930
pgmajfault 13279
pglazyfreed 0
pgrefill 0
pgreuse 1652240
pgsteal_kswapd 0
pgsteal_direct 0
pgsteal_khugepaged 0
pgsteal_proactive 0
pgscan_kswapd 0
pgscan_direct 0
pgscan_khugepaged 0
pgscan_proactive 0
pgscan_direct_throttle 0
pgscan_anon 0
pgscan_file 0
pgsteal_anon 0
pgsteal_file 0
zone_reclaim_success 0
zone_reclaim_failed 0
pginodesteal 0
slabs_scanned 487
kswapd_inodesteal 0
kswapd_low_wmark_hit_quickly 0
kswapd_high_wmark_hit_quickly 0
pageoutrun 0
pgrotated 43444
drop_pagecache 1
drop_slab 2
oom_kill 3
numa_pte_updates 0
numa_huge_pte_updates 0
numa_hint_faults 0
numa_hint_faults_local 0
numa_pages_migrated 0
pgmigrate_success 0
pgmigrate_fail 0
thp_migration_success 0
thp_migration_fail 0
thp_migration_split 0
compact_migrate_scanned 0
compact_free_scanned 0
compact_isolated 0
compact_stall 0
compact_fail 0
compact_success 0
compact_daemon_wake 0
compact_daemon_migrate_scanned 0
compact_daemon_free_scanned 0
htlb_buddy_alloc_success 0
htlb_buddy_alloc_fail 0
unevictable_pgs_culled 29382
unevictable_pgs_scanned 0
unevictable_pgs_rescued 24681
unevictable_pgs_mlocked 29397
unevictable_pgs_munlocked 24921
unevictable_pgs_cleared 0
unevictable_pgs_stranded 0
thp_fault_alloc 6649
thp_fault_fallback 0
thp_fault_fallback_charge 0
thp_collapse_alloc 0
thp_collapse_alloc_failed 0
thp_file_alloc 0
thp_file_fallback 0
thp_file_fallback_charge 0
thp_file_mapped 295
thp_split_page 0
thp_split_page_failed 0
thp_deferred_split_page 0
thp_underused_split_page 0
thp_split_pmd 0
thp_scan_exceed_none_pte 0
thp_scan_exceed_swap_pte 0
thp_scan_exceed_share_pte 0
thp_split_pud 0
thp_zero_page_alloc 0
thp_zero_page_alloc_failed 0
thp_swpout 0
thp_swpout_fallback 0
balloon_inflate 0
balloon_deflate 0
balloon_migrate 0
swap_ra 0
swap_ra_hit 0
swpin_zero 0
swpout_zero 0
ksm_swpin_copy 0
cow_ksm 0
zswpin 0
zswpout 0
zswpwb 0
direct_map_level2_splits 4
direct_map_level3_splits 0
direct_map_level2_collapses 0
direct_map_level3_collapses 0
nr_unstable 0
";

    #[test]
    fn wanted_keys_are_found_among_the_others() {
        let stat = parse_vmstat(b"nr_free_pages 1\npgpgin 8358577\npgfree_x 3\npgfree 4\noom_kill 2\n");
        assert_eq!((stat.pgpgin, stat.pgfree, stat.oom_kill), (Some(8_358_577), Some(4), Some(2)));
        assert_eq!(stat.pgpgout, None);
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(SAMPLE, 20, |bytes| testing::keyed(KEYS, parse_vmstat(bytes)));
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(SAMPLE, |bytes| testing::keyed(KEYS, parse_vmstat(bytes)));
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(SAMPLE, |bytes| testing::keyed(KEYS, parse_vmstat(bytes)));
    }
}
