//! The traces of the benchmarks: what is written is read back to the last cell, and a damaged file is an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use ringside::sample::catalogue::{CgroupColumn, Kind, Table};
use ringside::sample::row::{Cell, Column, Row};
use ringside::sample::{NodeSample, Roster, Subject, SubjectId};
use ringside::units::{Limit, MonotonicNanos, UnixNanos};

#[path = "../benches/trace/mod.rs"]
mod trace;
use trace::replay::{Replay, Replicator};
use trace::{At, keep::Keeper};

#[path = "synthetic/mod.rs"]
mod synthetic;

/// Six ticks in which counters move, cells come and go, a limit is lifted, and a pod is gone at the fourth.
fn samples() -> Vec<Arc<NodeSample>> {
    let mut samples: Vec<Arc<NodeSample>> = Vec::new();
    for tick in 1..=6 {
        let made = if tick < 4 { synthetic::node(4, tick) } else { without_last_pod(&synthetic::node(4, tick)) };
        let mut sample = made.clone();
        sample.machine = Arc::new(trace::anonymous(&made.machine));
        sample.tallies = Arc::default();
        sample.self_stats = Default::default();
        for table in Table::ALL {
            let rows = sample.rows_mut(table).unwrap();
            rows.clear();
            for (number, row) in made.rows(table).unwrap().iter().enumerate() {
                let mut changed = Row::of(row);
                changed.read_at = MonotonicNanos(row.read_at.0 + number as u64 * 1_234);
                changed.put(At(1), tick.is_multiple_of(2).then_some(u64::MAX / tick));
                changed.put_limit(At(2), Some(if tick == 3 { Limit::Unlimited } else { Limit::At(tick << 12) }));
                rows.push(changed.as_ref());
            }
        }
        if tick == 3 {
            sample.final_rows = vec![2, 5];
        }
        sample.wall = UnixNanos(sample.wall.0 + (tick * 7_919) % 1_000);
        match samples.last().filter(|_| tick != 4) {
            Some(before) => sample.roster = Arc::clone(&before.roster),
            None => Arc::make_mut(&mut sample.roster).generation = tick,
        }
        samples.push(Arc::new(sample));
    }
    samples
}

/// Subjects never change their ids: the others keep theirs.
fn without_last_pod(sample: &NodeSample) -> NodeSample {
    let pods: Vec<_> = sample.roster.subjects(Table::Cgroup).iter().filter(|cgroup| is_of_a_pod(cgroup)).collect();
    let gone: Vec<SubjectId> = pods.iter().rev().take(4).map(|cgroup| cgroup.id).collect();
    let stays =
        |subject: &&Arc<Subject>| !gone.contains(&subject.id) && !subject.owner.is_some_and(|o| gone.contains(&o));
    let mut made = sample.clone();
    let mut roster = Roster::default();
    for table in Table::ALL {
        made.rows_mut(table).unwrap().clear();
        for (subject, row) in sample.iter(table).filter(|(subject, _)| stays(subject)) {
            made.rows_mut(table).unwrap().push(row);
            roster.subjects_mut(table).unwrap().push(Arc::clone(subject));
        }
    }
    made.roster = Arc::new(roster);
    made
}

fn is_of_a_pod(cgroup: &Subject) -> bool {
    cgroup.name.contains("pod") && cgroup.name.as_ref() != "/kubepods.slice"
}

fn assert_same(read: &NodeSample, written: &NodeSample) {
    assert_eq!(read.tick, written.tick);
    assert_eq!((read.started_at, read.ended_at, read.wall), (written.started_at, written.ended_at, written.wall));
    assert_eq!(read.roster.generation, written.roster.generation);
    assert_eq!(read.final_rows, written.final_rows);
    assert_eq!(read.machine.memory_bytes, written.machine.memory_bytes);
    for table in Table::ALL {
        assert_eq!(read.roster.subjects(table), written.roster.subjects(table));
        let (read, written) = (read.rows(table).unwrap(), written.rows(table).unwrap());
        assert_eq!(read.len(), written.len());
        for (read, written) in read.iter().zip(written.iter()) {
            assert_eq!(
                (read.present, read.unlimited, read.read_at),
                (written.present, written.unlimited, written.read_at)
            );
            for column in 0..table.metrics().len() {
                assert_eq!(read.cell_at(column), written.cell_at(column), "{table:?} {column}");
            }
        }
    }
}

#[test]
fn every_tick_subject_and_cell_is_read_back_as_it_was_written() {
    let written = samples();
    let file = trace::write(&written, 3).unwrap();
    let read = trace::read(&file).unwrap();
    assert_eq!(read.len(), written.len());
    for (read, written) in read.iter().zip(&written) {
        assert_same(read, written);
    }
    let rosters = |samples: &[Arc<NodeSample>]| -> Vec<bool> {
        samples.windows(2).map(|pair| Arc::ptr_eq(&pair[0].roster, &pair[1].roster)).collect()
    };
    assert_eq!(rosters(&read), [true, true, false, true, true]);
    // Subjects of one cgroup share one description, and so they do after reading.
    let workload = |sample: &NodeSample, table| {
        sample.roster.subjects(table).iter().find_map(|subject| subject.workload.clone()).unwrap()
    };
    assert_eq!(workload(&read[0], Table::Device), workload(&written[0], Table::Device));
    assert_eq!(
        read[0].row(Table::Cgroup, read[0].roster.subjects(Table::Cgroup)[0].id).unwrap().cell_at(2),
        Cell::Value(4096)
    );
}

#[test]
fn a_file_that_is_cut_off_or_overwritten_is_an_error_that_says_what_to_do() {
    let file = trace::write(&samples(), 3).unwrap();
    assert!(trace::read(b"").unwrap_err().to_string().contains("record.sh"));
    for length in (0..file.len()).step_by(41) {
        assert!(trace::read(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
    // What lies inside the frame is damaged too: no length in it may be believed.
    let body = zstd::decode_all(&file[8..]).unwrap();
    let framed = |body: &[u8]| [&file[..8], &zstd::encode_all(body, 1).unwrap()].concat();
    for length in (0..body.len()).step_by(997) {
        assert!(trace::read(&framed(&body[..length])).is_err(), "{length} of {} bytes", body.len());
    }
    let header = 2 + body.iter().skip(2).position(|byte| *byte == b'\n').unwrap_or(0);
    for position in (header..body.len()).step_by(499) {
        let mut damaged = body.clone();
        damaged[position] ^= 0xff;
        // Some damage is only another number; all of it ends, and says so.
        if let Err(error) = trace::read(&framed(&damaged)) {
            assert!(error.to_string().contains("record"), "{error}");
        }
    }
}

#[test]
fn a_column_that_the_catalogue_does_not_know_is_left_out() {
    let written = samples();
    let body = zstd::decode_all(&trace::write(&written, 3).unwrap()[8..]).unwrap();
    let (old, new) = (&b"\"cpu_usage_usec\""[..], &b"\"cpu_other_usec\""[..]);
    let at = body.windows(old.len()).position(|window| window == old).unwrap();
    let renamed = [&body[..at], new, &body[at + old.len()..]].concat();
    let file = [b"RSTRACE1".to_vec(), zstd::encode_all(renamed.as_slice(), 3).unwrap()].concat();
    let read = trace::read(&file).unwrap();
    let row = read[0].rows(Table::Cgroup).unwrap().get(0).unwrap();
    let was = written[0].rows(Table::Cgroup).unwrap().get(0).unwrap();
    assert_eq!(row.cell(CgroupColumn::CpuUsageUsec), Cell::Absent);
    let next = CgroupColumn::CpuUsageUsec.index() + 4;
    assert_eq!(row.cell_at(next), was.cell_at(next));
}

#[test]
fn a_kept_part_has_the_chosen_rows_and_its_roster_changes_only_with_them() {
    let all = samples();
    let kept_path = "/kubepods.slice*";
    let mut keeper = Keeper::new([&*format!("cgroup={kept_path}"), "interface=eth0", "DISK=nvme0n1"]).unwrap();
    let kept: Vec<Arc<NodeSample>> = all.iter().map(|sample| keeper.keep(sample)).collect();
    let cgroups = kept[0].roster.subjects(Table::Cgroup);
    assert_eq!(cgroups.len(), 1 + 2 * 4);
    assert!(cgroups.iter().all(|subject| subject.name.starts_with("/kubepods.slice")));
    assert_eq!(kept[0].roster.subjects(Table::Disk).len(), 1);
    assert_eq!(kept[0].roster.subjects(Table::Cpu).len(), 4, "a table that no word names is whole");
    let devices = kept[0].roster.subjects(Table::Device);
    assert_eq!(devices.len(), 4, "the root's device goes with the root");
    // Row 2 of the third tick was a service, row 5 too: neither is kept.
    assert_eq!(kept[2].final_rows, Vec::<usize>::new());
    for (subject, row) in kept[2].iter(Table::Cgroup) {
        assert_eq!(row, all[2].row(Table::Cgroup, subject.id).unwrap());
    }
    // The disks are the same all the time; the pod that goes changes the roster once.
    let generations: Vec<u64> = kept.iter().map(|sample| sample.roster.generation).collect();
    assert_eq!(generations, [1, 1, 1, 2, 2, 2]);
    let mut disks = Keeper::new(["cgroup=/none", "interface=lo"]).unwrap();
    let generations: Vec<u64> = all.iter().map(|sample| disks.keep(sample).roster.generation).collect();
    assert_eq!(generations, [1, 1, 1, 1, 1, 1]);
    assert!(Keeper::new(["cgroups=/"]).unwrap_err().contains("TABLE=NAME"));
}

#[test]
fn a_replay_goes_on_without_a_fall_and_without_a_gap() {
    let all = samples();
    let replayed: Vec<Arc<NodeSample>> = Replay::new(all.clone()).take(20).collect();
    for (replayed, recorded) in replayed.iter().zip(&all) {
        assert!(Arc::ptr_eq(replayed, recorded));
    }
    let root = all[0].roster.subjects(Table::Cgroup)[0].id;
    let counter = CgroupColumn::CpuUserUsec.index() + 1;
    assert_eq!(Table::Cgroup.metrics()[counter].kind, Kind::Counter);
    let usage =
        |sample: &Arc<NodeSample>| sample.row(Table::Cgroup, root).unwrap().value(CgroupColumn::CpuUsageUsec).unwrap();
    for pair in replayed.windows(2) {
        assert_eq!(pair[1].tick, pair[0].tick + 1);
        assert_eq!(pair[1].started_at.since(pair[0].started_at), 1_000_000_000);
        assert_eq!(usage(&pair[1]) - usage(&pair[0]), 250_000, "at tick {}", pair[1].tick);
        assert!(Arc::ptr_eq(&pair[0].roster, &pair[1].roster) == (pair[1].tick % 3 != 1), "at tick {}", pair[1].tick);
    }
    let generations: Vec<u64> = replayed.iter().step_by(3).map(|sample| sample.roster.generation).collect();
    assert_eq!(generations, [1, 4, 5, 8, 9, 12, 13]);
}

#[test]
fn copies_of_containers_are_subjects_of_their_own_with_the_same_rows() {
    let all = samples();
    let mut replicator = Replicator::new(11);
    let made = replicator.replicate(&all[0]);
    let before = containers_in(&all[0].roster);
    assert!(before > 0 && before < 11);
    assert_eq!(containers_in(&made.roster), 11);
    let subjects: Vec<_> = trace::subjects(&made.roster).collect();
    let ids: std::collections::HashSet<_> = subjects.iter().map(|subject| subject.id).collect();
    assert_eq!(ids.len(), subjects.len());
    let names: std::collections::HashSet<_> =
        made.roster.subjects(Table::Cgroup).iter().map(|s| s.name.clone()).collect();
    assert_eq!(names.len(), made.roster.subjects(Table::Cgroup).len());
    for device in made.roster.subjects(Table::Device) {
        let owner = device.owner.unwrap();
        assert!(ids.contains(&owner));
        assert_eq!(owner.0 >> 32, device.id.0 >> 32, "a copy belongs to a copy");
    }
    for table in Table::ALL {
        assert_eq!(made.rows(table).unwrap().len(), made.roster.subjects(table).len());
    }
    let last = made.roster.subjects(Table::Cgroup).last().unwrap();
    let original = SubjectId(last.id.0 % (1 << 32));
    assert_eq!(made.row(Table::Cgroup, last.id).unwrap(), all[0].row(Table::Cgroup, original).unwrap());
    // The same roster again: the same subjects again.
    assert!(Arc::ptr_eq(&made.roster, &replicator.replicate(&all[1]).roster));
}

/// A column that is renamed in the catalogue would be missing from every trace, and the benchmark would measure less
/// without a word.
#[test]
fn every_number_of_the_recorded_traces_is_still_there() {
    for (name, ticks, containers, layout, numbers) in
        [("docker-mixed", 897, 12, "hybrid", 1_714_634_usize), ("docker-busy", 447, 3, "hybrid", 359_835)]
    {
        let path = format!("{}/benches/data/{name}.trace.zst", env!("CARGO_MANIFEST_DIR"));
        let samples = trace::read(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((samples.len(), samples[0].machine.cgroup_layout.as_str()), (ticks, layout), "{name}");
        assert_eq!(containers_in(&samples[0].roster), containers, "{name}");
        let rows = samples.iter().flat_map(|sample| Table::ALL.into_iter().flat_map(|table| sample.iter(table)));
        let present = rows.map(|(_, row)| row.present.0.iter().map(|word| word.count_ones() as usize).sum::<usize>());
        assert_eq!(present.sum::<usize>(), numbers, "{name}");
        for pair in samples.windows(2) {
            assert_eq!(pair[1].tick, pair[0].tick + 1, "{name}: one tick a second, none missed");
            assert!(pair[1].started_at > pair[0].ended_at && pair[1].wall > pair[0].wall, "{name}");
        }
    }
}

fn containers_in(roster: &Roster) -> usize {
    let kind = ringside::discover::CgroupKind::Container;
    let of_kind = |subject: &&Arc<Subject>| subject.workload.as_ref().unwrap().identity.kind == kind;
    roster.subjects(Table::Cgroup).iter().filter(of_kind).count()
}
