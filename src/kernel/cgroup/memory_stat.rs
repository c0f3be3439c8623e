//! `memory.stat` of cgroup v2: what the memory is made of.
//!
//! In: the file's bytes. Out: one struct; a key that this kernel does not print is `None`. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads, never allocates. Next: the cgroup reader of `sample/`.

use crate::kernel::parse::{Key, parse_keyed};

/// The keys of `memory.stat`, for the cgroup and all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryStat {
    /// `anon`: anonymous mappings; bytes, gauge.
    pub anon_bytes: Option<u64>,
    /// `file`: page cache, tmpfs and shared memory included; bytes, gauge.
    pub file_bytes: Option<u64>,
    /// `kernel`: all kernel memory, the kinds below included; bytes, gauge; Linux 5.18 and later.
    pub kernel_bytes: Option<u64>,
    /// `kernel_stack`: kernel stacks; bytes, gauge.
    pub kernel_stack_bytes: Option<u64>,
    /// `pagetables`: page tables; bytes, gauge.
    pub pagetables_bytes: Option<u64>,
    /// `sec_pagetables`: secondary page tables (KVM, IOMMU); bytes, gauge; not in older kernels.
    pub sec_pagetables_bytes: Option<u64>,
    /// `percpu`: per-CPU kernel structures; bytes, gauge.
    pub percpu_bytes: Option<u64>,
    /// `sock`: network transmission buffers; bytes, gauge.
    pub sock_bytes: Option<u64>,
    /// `vmalloc`: vmap backed memory; bytes, gauge; not in older kernels.
    pub vmalloc_bytes: Option<u64>,
    /// `shmem`: swap-backed page cache: tmpfs, shm, shared anonymous; bytes, gauge.
    pub shmem_bytes: Option<u64>,
    /// `zswap`: memory that zswap itself takes; bytes, gauge; only with `CONFIG_ZSWAP`.
    pub zswap_bytes: Option<u64>,
    /// `zswapped`: application memory that was swapped into zswap; bytes, gauge; only with `CONFIG_ZSWAP`.
    pub zswapped_bytes: Option<u64>,
    /// `file_mapped`: page cache mapped by processes; bytes, gauge.
    pub file_mapped_bytes: Option<u64>,
    /// `file_dirty`: page cache changed and not yet queued for writing; bytes, gauge.
    pub file_dirty_bytes: Option<u64>,
    /// `file_writeback`: page cache being written; bytes, gauge.
    pub file_writeback_bytes: Option<u64>,
    /// `swapcached`: swap cached in memory; bytes, gauge; accounted as memory and as swap.
    pub swapcached_bytes: Option<u64>,
    /// `anon_thp`: anonymous transparent huge pages; bytes, gauge.
    pub anon_thp_bytes: Option<u64>,
    /// `file_thp`: page cache in transparent huge pages; bytes, gauge.
    pub file_thp_bytes: Option<u64>,
    /// `shmem_thp`: shmem in transparent huge pages; bytes, gauge.
    pub shmem_thp_bytes: Option<u64>,
    /// `inactive_anon`: inactive anonymous LRU list; bytes, gauge.
    pub inactive_anon_bytes: Option<u64>,
    /// `active_anon`: active anonymous LRU list; bytes, gauge.
    pub active_anon_bytes: Option<u64>,
    /// `inactive_file`: inactive file LRU list; bytes, gauge; the working set leaves it out.
    pub inactive_file_bytes: Option<u64>,
    /// `active_file`: active file LRU list; bytes, gauge.
    pub active_file_bytes: Option<u64>,
    /// `unevictable`: unevictable LRU list; bytes, gauge.
    pub unevictable_bytes: Option<u64>,
    /// `slab_reclaimable`: slab that can be reclaimed: dentries, inodes; bytes, gauge.
    pub slab_reclaimable_bytes: Option<u64>,
    /// `slab_unreclaimable`: slab that cannot be reclaimed; bytes, gauge.
    pub slab_unreclaimable_bytes: Option<u64>,
    /// `slab`: both kinds of slab; bytes, gauge.
    pub slab_bytes: Option<u64>,
    /// `hugetlb`: hugetlb pages; bytes, gauge; only where the mount accounts them (`memory_hugetlb_accounting`); not in older kernels.
    pub hugetlb_bytes: Option<u64>,
    /// `workingset_refault_anon`: anonymous pages refaulted; counter.
    pub workingset_refault_anon: Option<u64>,
    /// `workingset_refault_file`: file pages refaulted; counter.
    pub workingset_refault_file: Option<u64>,
    /// `workingset_activate_anon`: refaulted anonymous pages activated at once; counter.
    pub workingset_activate_anon: Option<u64>,
    /// `workingset_activate_file`: refaulted file pages activated at once; counter.
    pub workingset_activate_file: Option<u64>,
    /// `workingset_restore_anon`: anonymous pages restored as working set; counter.
    pub workingset_restore_anon: Option<u64>,
    /// `workingset_restore_file`: file pages restored as working set; counter.
    pub workingset_restore_file: Option<u64>,
    /// `workingset_nodereclaim`: shadow nodes reclaimed; counter.
    pub workingset_nodereclaim: Option<u64>,
    /// `numa_pages_migrated`: pages migrated by NUMA balancing; counter; Linux 6.12 and later.
    pub numa_pages_migrated: Option<u64>,
    /// `numa_pte_updates`: page table entries prepared by NUMA balancing; counter; Linux 6.12 and later.
    pub numa_pte_updates: Option<u64>,
    /// `numa_hint_faults`: NUMA hinting faults; counter; Linux 6.12 and later.
    pub numa_hint_faults: Option<u64>,
    /// `pgdemote_kswapd`: pages demoted by kswapd; counter; Linux 6.12 and later.
    pub pgdemote_kswapd: Option<u64>,
    /// `pgdemote_direct`: pages demoted directly; counter; Linux 6.12 and later.
    pub pgdemote_direct: Option<u64>,
    /// `pgdemote_khugepaged`: pages demoted by khugepaged; counter; Linux 6.12 and later.
    pub pgdemote_khugepaged: Option<u64>,
    /// `pgpromote_success`: pages promoted; counter; only with NUMA balancing.
    pub pgpromote_success: Option<u64>,
    /// `pgscan`: pages scanned in an inactive list; counter.
    pub pgscan: Option<u64>,
    /// `pgsteal`: pages reclaimed; counter.
    pub pgsteal: Option<u64>,
    /// `pgscan_kswapd`: pages scanned by kswapd; counter; not in older kernels.
    pub pgscan_kswapd: Option<u64>,
    /// `pgscan_direct`: pages scanned directly; counter; not in older kernels.
    pub pgscan_direct: Option<u64>,
    /// `pgscan_khugepaged`: pages scanned by khugepaged; counter; not in older kernels.
    pub pgscan_khugepaged: Option<u64>,
    /// `pgsteal_kswapd`: pages reclaimed by kswapd; counter; not in older kernels.
    pub pgsteal_kswapd: Option<u64>,
    /// `pgsteal_direct`: pages reclaimed directly; counter; not in older kernels.
    pub pgsteal_direct: Option<u64>,
    /// `pgsteal_khugepaged`: pages reclaimed by khugepaged; counter; not in older kernels.
    pub pgsteal_khugepaged: Option<u64>,
    /// `pgfault`: page faults; counter.
    pub pgfault: Option<u64>,
    /// `pgmajfault`: major page faults; counter.
    pub pgmajfault: Option<u64>,
    /// `pgrefill`: pages scanned in an active list; counter.
    pub pgrefill: Option<u64>,
    /// `pgactivate`: pages moved to an active list; counter.
    pub pgactivate: Option<u64>,
    /// `pgdeactivate`: pages moved to an inactive list; counter.
    pub pgdeactivate: Option<u64>,
    /// `pglazyfree`: pages whose free was put off; counter.
    pub pglazyfree: Option<u64>,
    /// `pglazyfreed`: put-off pages freed; counter.
    pub pglazyfreed: Option<u64>,
    /// `swpin_zero`: zero-filled pages swapped in; counter; not in older kernels.
    pub swpin_zero: Option<u64>,
    /// `swpout_zero`: zero-filled pages swapped out; counter; not in older kernels.
    pub swpout_zero: Option<u64>,
    /// `zswpin`: pages moved from zswap to memory; counter; only with `CONFIG_ZSWAP`.
    pub zswpin: Option<u64>,
    /// `zswpout`: pages moved from memory to zswap; counter; only with `CONFIG_ZSWAP`.
    pub zswpout: Option<u64>,
    /// `zswpwb`: pages written from zswap to swap; counter; Linux 6.8 and later.
    pub zswpwb: Option<u64>,
    /// `thp_fault_alloc`: transparent huge pages allocated at a fault; counter.
    pub thp_fault_alloc: Option<u64>,
    /// `thp_collapse_alloc`: transparent huge pages allocated by collapsing; counter.
    pub thp_collapse_alloc: Option<u64>,
    /// `thp_swpout`: transparent huge pages swapped out whole; counter; Linux 6.7 and later.
    pub thp_swpout: Option<u64>,
    /// `thp_swpout_fallback`: transparent huge pages split before swapping; counter; Linux 6.7 and later.
    pub thp_swpout_fallback: Option<u64>,
}

/// The keys in the order in which the kernel prints them.
pub(crate) const KEYS: &[Key<MemoryStat>] = &[
    Key { name: b"anon", slot: |stat| &mut stat.anon_bytes },
    Key { name: b"file", slot: |stat| &mut stat.file_bytes },
    Key { name: b"kernel", slot: |stat| &mut stat.kernel_bytes },
    Key { name: b"kernel_stack", slot: |stat| &mut stat.kernel_stack_bytes },
    Key { name: b"pagetables", slot: |stat| &mut stat.pagetables_bytes },
    Key { name: b"sec_pagetables", slot: |stat| &mut stat.sec_pagetables_bytes },
    Key { name: b"percpu", slot: |stat| &mut stat.percpu_bytes },
    Key { name: b"sock", slot: |stat| &mut stat.sock_bytes },
    Key { name: b"vmalloc", slot: |stat| &mut stat.vmalloc_bytes },
    Key { name: b"shmem", slot: |stat| &mut stat.shmem_bytes },
    Key { name: b"zswap", slot: |stat| &mut stat.zswap_bytes },
    Key { name: b"zswapped", slot: |stat| &mut stat.zswapped_bytes },
    Key { name: b"file_mapped", slot: |stat| &mut stat.file_mapped_bytes },
    Key { name: b"file_dirty", slot: |stat| &mut stat.file_dirty_bytes },
    Key { name: b"file_writeback", slot: |stat| &mut stat.file_writeback_bytes },
    Key { name: b"swapcached", slot: |stat| &mut stat.swapcached_bytes },
    Key { name: b"anon_thp", slot: |stat| &mut stat.anon_thp_bytes },
    Key { name: b"file_thp", slot: |stat| &mut stat.file_thp_bytes },
    Key { name: b"shmem_thp", slot: |stat| &mut stat.shmem_thp_bytes },
    Key { name: b"inactive_anon", slot: |stat| &mut stat.inactive_anon_bytes },
    Key { name: b"active_anon", slot: |stat| &mut stat.active_anon_bytes },
    Key { name: b"inactive_file", slot: |stat| &mut stat.inactive_file_bytes },
    Key { name: b"active_file", slot: |stat| &mut stat.active_file_bytes },
    Key { name: b"unevictable", slot: |stat| &mut stat.unevictable_bytes },
    Key { name: b"slab_reclaimable", slot: |stat| &mut stat.slab_reclaimable_bytes },
    Key { name: b"slab_unreclaimable", slot: |stat| &mut stat.slab_unreclaimable_bytes },
    Key { name: b"slab", slot: |stat| &mut stat.slab_bytes },
    Key { name: b"hugetlb", slot: |stat| &mut stat.hugetlb_bytes },
    Key { name: b"workingset_refault_anon", slot: |stat| &mut stat.workingset_refault_anon },
    Key { name: b"workingset_refault_file", slot: |stat| &mut stat.workingset_refault_file },
    Key { name: b"workingset_activate_anon", slot: |stat| &mut stat.workingset_activate_anon },
    Key { name: b"workingset_activate_file", slot: |stat| &mut stat.workingset_activate_file },
    Key { name: b"workingset_restore_anon", slot: |stat| &mut stat.workingset_restore_anon },
    Key { name: b"workingset_restore_file", slot: |stat| &mut stat.workingset_restore_file },
    Key { name: b"workingset_nodereclaim", slot: |stat| &mut stat.workingset_nodereclaim },
    Key { name: b"numa_pages_migrated", slot: |stat| &mut stat.numa_pages_migrated },
    Key { name: b"numa_pte_updates", slot: |stat| &mut stat.numa_pte_updates },
    Key { name: b"numa_hint_faults", slot: |stat| &mut stat.numa_hint_faults },
    Key { name: b"pgdemote_kswapd", slot: |stat| &mut stat.pgdemote_kswapd },
    Key { name: b"pgdemote_direct", slot: |stat| &mut stat.pgdemote_direct },
    Key { name: b"pgdemote_khugepaged", slot: |stat| &mut stat.pgdemote_khugepaged },
    Key { name: b"pgpromote_success", slot: |stat| &mut stat.pgpromote_success },
    Key { name: b"pgscan", slot: |stat| &mut stat.pgscan },
    Key { name: b"pgsteal", slot: |stat| &mut stat.pgsteal },
    Key { name: b"pgscan_kswapd", slot: |stat| &mut stat.pgscan_kswapd },
    Key { name: b"pgscan_direct", slot: |stat| &mut stat.pgscan_direct },
    Key { name: b"pgscan_khugepaged", slot: |stat| &mut stat.pgscan_khugepaged },
    Key { name: b"pgsteal_kswapd", slot: |stat| &mut stat.pgsteal_kswapd },
    Key { name: b"pgsteal_direct", slot: |stat| &mut stat.pgsteal_direct },
    Key { name: b"pgsteal_khugepaged", slot: |stat| &mut stat.pgsteal_khugepaged },
    Key { name: b"pgfault", slot: |stat| &mut stat.pgfault },
    Key { name: b"pgmajfault", slot: |stat| &mut stat.pgmajfault },
    Key { name: b"pgrefill", slot: |stat| &mut stat.pgrefill },
    Key { name: b"pgactivate", slot: |stat| &mut stat.pgactivate },
    Key { name: b"pgdeactivate", slot: |stat| &mut stat.pgdeactivate },
    Key { name: b"pglazyfree", slot: |stat| &mut stat.pglazyfree },
    Key { name: b"pglazyfreed", slot: |stat| &mut stat.pglazyfreed },
    Key { name: b"swpin_zero", slot: |stat| &mut stat.swpin_zero },
    Key { name: b"swpout_zero", slot: |stat| &mut stat.swpout_zero },
    Key { name: b"zswpin", slot: |stat| &mut stat.zswpin },
    Key { name: b"zswpout", slot: |stat| &mut stat.zswpout },
    Key { name: b"zswpwb", slot: |stat| &mut stat.zswpwb },
    Key { name: b"thp_fault_alloc", slot: |stat| &mut stat.thp_fault_alloc },
    Key { name: b"thp_collapse_alloc", slot: |stat| &mut stat.thp_collapse_alloc },
    Key { name: b"thp_swpout", slot: |stat| &mut stat.thp_swpout },
    Key { name: b"thp_swpout_fallback", slot: |stat| &mut stat.thp_swpout_fallback },
];

/// Parses `memory.stat`. Hot: once a second for each busy container.
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

    /// Every key with a value of its own, in the kernel's order.
    fn sample() -> Vec<u8> {
        let lines = KEYS.iter().zip(1u64..).map(|(key, line)| {
            let scale = if line % 3 == 0 { 4096 } else { 1 };
            format!("{} {}\n", String::from_utf8_lossy(key.name), line * line * 1_000_003 * scale)
        });
        lines.collect::<String>().into_bytes()
    }

    fn values(bytes: &[u8]) -> testing::Values {
        testing::keyed(KEYS, parse_memory_stat(bytes))
    }

    #[test]
    fn keys_of_one_beginning_are_kept_apart() {
        let stat = parse_memory_stat(
            b"anon 8192\nkernel 3\nkernel_stack 4\nslab_reclaimable 1\nslab 3\nzswap 5\nzswapped 6\n",
        );
        assert_eq!((stat.anon_bytes, stat.kernel_bytes, stat.kernel_stack_bytes), (Some(8192), Some(3), Some(4)));
        assert_eq!((stat.slab_reclaimable_bytes, stat.slab_bytes), (Some(1), Some(3)));
        assert_eq!((stat.zswap_bytes, stat.zswapped_bytes, stat.file_bytes), (Some(5), Some(6), None));
    }

    #[test]
    fn an_older_kernels_order_gives_the_same_values() {
        // Linux 5.x prints pgfault before pgscan, and keys that are gone or new stand between.
        let stat = parse_memory_stat(
            b"pgfault 1\npgmajfault 2\npgrefill 3\nfuture_key 9\npgscan 4\npgsteal 5\npgactivate 6\n",
        );
        assert_eq!((stat.pgfault, stat.pgmajfault, stat.pgrefill), (Some(1), Some(2), Some(3)));
        assert_eq!((stat.pgscan, stat.pgsteal, stat.pgactivate), (Some(4), Some(5), Some(6)));
    }

    #[test]
    fn a_cut_file_gives_true_values_or_none() {
        testing::cut_anywhere_is_true_or_absent(&sample(), KEYS.len(), values);
    }

    #[test]
    fn a_bad_number_is_absent_and_harms_no_other() {
        testing::bad_numbers_are_absent(&sample(), values);
    }

    #[test]
    fn any_bytes_are_survived() {
        testing::any_bytes_are_survived(&sample(), values);
    }
}
