//! The ring file against a plain list, through crashes: a kill keeps every write up to some byte, a power loss any subset
//! of the writes since the last barrier, torn anywhere. What was safe must be found, and all that is found must be true.

use std::ops::Range;

use proptest::prelude::*;

use super::disk::Event;
use super::*;
use crate::store::file::ALIGN;

#[derive(Debug, Clone)]
enum Op {
    Append(usize),
    BeginLog,
    Segment {
        tier: usize,
        parts: Vec<usize>,
    },
    Directory(usize),
    Sync,
    /// The last `back` writes or barriers did not happen, and of the one before only the first `cut` bytes.
    Kill {
        back: usize,
        cut: usize,
    },
    /// The same, and of all writes since the last barrier, pieces of `grain` bytes are lost by the bits of `lost`.
    PowerLoss {
        back: usize,
        cut: usize,
        grain: usize,
        lost: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let crash = (0_usize..4, prop_oneof![Just(usize::MAX), 0_usize..200]);
    prop_oneof![
        12 => (8_usize..120).prop_map(Op::Append),
        3 => Just(Op::BeginLog),
        8 => (0_usize..3, prop::collection::vec(0_usize..150, 0..4)).prop_map(|(tier, parts)| Op::Segment { tier, parts }),
        3 => (8_usize..96).prop_map(Op::Directory),
        3 => Just(Op::Sync),
        2 => crash.clone().prop_map(|(back, cut)| Op::Kill { back, cut }),
        3 => (crash, prop_oneof![Just(8_usize), Just(64), Just(512)], any::<u64>())
            .prop_map(|((back, cut), grain, lost)| Op::PowerLoss { back, cut, grain, lost }),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Record { slot: usize, epoch: u64, index: u32 },
    Segment { tier: usize, offset: u64, sequence: u64 },
    Directory,
}

/// Something that was written. Its first eight bytes are its place in the list.
#[derive(Debug, Clone)]
struct Thing {
    kind: Kind,
    parts: Vec<Vec<u8>>,
    extent: Range<u64>,
    /// Between two openings of the file.
    run: u32,
    /// Its writes are these events.
    events: Range<usize>,
    /// It was found by every reader since it was written.
    found: bool,
}

struct World {
    file: RingFile<MemoryDisk>,
    /// The medium before all events.
    base: Vec<u8>,
    things: Vec<Thing>,
    run: u32,
    epoch: u64,
    next_index: u32,
    sequence: u64,
    cursors: [u64; 3],
}

impl World {
    fn new() -> Self {
        let mut file = begin(SMALL);
        file.disk.events.clear();
        let base = file.disk.bytes.clone();
        Self { file, base, things: Vec::new(), run: 0, epoch: 0, next_index: 0, sequence: 0, cursors: [0; 3] }
    }

    fn payload(&self, length: usize) -> Vec<u8> {
        let id = self.things.len() as u64;
        let mut payload = id.to_le_bytes().to_vec();
        payload.resize(length.max(8), id as u8 | 1);
        payload
    }

    fn note(&mut self, kind: Kind, parts: Vec<Vec<u8>>, extent: Range<u64>, begun: usize) {
        let events = begun..self.file.disk.events.len();
        self.things.push(Thing { kind, parts, extent, run: self.run, events, found: true });
    }

    fn apply(&mut self, op: &Op) {
        let begun = self.file.disk.events.len();
        match op {
            Op::Append(length) => {
                let Some(log) = self.file.log else { return };
                let payload = self.payload(*length);
                let start = SMALL.log_at(log.slot) + log.used;
                if self.file.append_log(&payload).is_ok() {
                    let end = SMALL.log_at(log.slot) + self.file.log.unwrap().used;
                    let kind = Kind::Record { slot: log.slot, epoch: self.epoch, index: self.next_index };
                    self.next_index += 1;
                    self.note(kind, vec![payload], start..end, begun);
                }
            }
            Op::BeginLog => {
                self.epoch += 1;
                self.next_index = 0;
                self.file.begin_log(self.epoch).unwrap();
            }
            Op::Segment { tier, parts } => {
                self.sequence += 1;
                let mut all = vec![self.payload(8)];
                all.extend(parts.iter().map(|length| vec![self.sequence as u8; *length]));
                let slices: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
                let bytes = segment(self.sequence, &slices);
                let length = (bytes.len() as u64).next_multiple_of(ALIGN);
                let cursor = &mut self.cursors[*tier];
                if *cursor + length > SMALL.arena_bytes[*tier] {
                    *cursor = 0;
                }
                let offset = *cursor;
                if self.file.write_segment(*tier, offset, &bytes).is_ok() {
                    *cursor += length;
                    let start = SMALL.arena_at(*tier) + offset;
                    let kind = Kind::Segment { tier: *tier, offset, sequence: self.sequence };
                    self.note(kind, all, start..start + bytes.len() as u64, begun);
                }
            }
            Op::Directory(length) => {
                let payload = self.payload(*length);
                self.file.write_directory(&payload).unwrap();
                // The barrier before it is not a part of it.
                let begun = self.file.disk.events.len() - 1;
                self.note(Kind::Directory, vec![payload], 0..0, begun);
            }
            Op::Sync => self.file.sync().unwrap(),
            Op::Kill { back, cut } => {
                let (happened, whole) = self.stop(*back, *cut);
                self.reopen(happened, whole, whole);
            }
            Op::PowerLoss { back, cut, grain, lost } => {
                let (happened, whole) = self.stop(*back, *cut);
                let barrier = self.file.disk.events[..whole].iter().rposition(|event| *event == Event::Sync);
                let safe = barrier.map_or(0, |barrier| barrier + 1);
                self.lose(safe, *grain, *lost);
                self.reopen(happened, whole, safe);
                self.base = self.file.disk.bytes.clone();
                self.file.disk.events.clear();
                self.things.iter_mut().for_each(|thing| thing.events = 0..0);
            }
        }
    }

    /// Goes back in time. Returns how many events happened, and how many of them wholly.
    fn stop(&mut self, back: usize, cut: usize) -> (usize, usize) {
        let events = &mut self.file.disk.events;
        events.truncate(events.len() - back.min(events.len()));
        let happened = events.len();
        let whole = match events.last_mut() {
            Some(Event::Write(_, bytes)) if cut < bytes.len() => {
                bytes.truncate(cut);
                happened - 1
            }
            _ => happened,
        };
        self.replay(|_, _| true);
        self.things.retain(|thing| thing.events.start < happened || thing.events.is_empty());
        (happened, whole)
    }

    fn lose(&mut self, safe: usize, grain: usize, lost: u64) {
        self.replay(|event, at| {
            let piece = ((event as u64) << 32) | (at / grain as u64);
            event < safe || (piece ^ lost).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 0
        });
    }

    /// Puts the disk into the state that the events which `keep` chooses lead to.
    fn replay(&mut self, mut keep: impl FnMut(usize, u64) -> bool) {
        let disk = &mut self.file.disk;
        disk.bytes.clone_from(&self.base);
        for (number, event) in disk.events.iter().enumerate() {
            let Event::Write(offset, bytes) = event else { continue };
            for (at, byte) in (*offset..).zip(bytes) {
                if keep(number, at) {
                    disk.bytes[at as usize] = *byte;
                }
            }
        }
    }

    /// Opens the file anew and holds what is found against what was written: all that was finished within the first
    /// `safe` events is there, unless one of those that happened wrote over it.
    fn reopen(&mut self, happened: usize, whole: usize, safe: usize) {
        let recovered = read(&self.file.disk).unwrap();
        let mut found = vec![false; self.things.len()];
        for log in &recovered.logs {
            let mut run = None;
            for (index, payload) in log.records() {
                let (id, thing) = self.thing(payload);
                found[id] = true;
                assert_eq!(thing.parts, [payload]);
                assert!(matches!(thing.kind, Kind::Record { epoch, index: i, .. } if (epoch, i) == (log.epoch, index)));
                assert_eq!(*run.get_or_insert(thing.run), thing.run, "records of two runs in log {}", log.epoch);
            }
        }
        for segment in &recovered.segments {
            let (id, thing) = self.thing(recovered.part(segment, 0).unwrap());
            let kind = Kind::Segment { tier: segment.tier, offset: segment.offset, sequence: segment.sequence };
            assert_eq!((&thing.kind, thing.parts.len()), (&kind, segment.parts.len()));
            for (number, written) in thing.parts.iter().enumerate() {
                assert!(recovered.part(segment, number).is_none_or(|part| part == written));
            }
            found[id] = segment.parts.iter().all(Option::is_some);
        }
        let mut directory = None;
        if let Some(payload) = &recovered.directory {
            let (id, thing) = self.thing(payload);
            assert_eq!((&thing.kind, &thing.parts[0]), (&Kind::Directory, payload));
            directory = Some(id);
        }
        let mut newest_safe_directory = None;
        for (id, thing) in self.things.iter().enumerate().filter(|(_, thing)| thing.found && thing.events.end <= safe) {
            let mut later = self.things[id + 1..].iter().filter(|later| later.events.start < happened);
            let must = match thing.kind {
                Kind::Directory => {
                    newest_safe_directory = Some(id);
                    false
                }
                Kind::Record { slot, epoch, .. } => !later.any(|later| {
                    matches!(later.kind, Kind::Record { slot: s, epoch: e, .. } if (s, e > epoch) == (slot, true))
                }),
                Kind::Segment { .. } => !later.any(|later| {
                    later.extent.start < thing.extent.end && later.extent.end > thing.extent.start
                }),
            };
            assert!(!must || found[id], "{thing:?} is lost: {happened} events, {whole} whole, {safe} safe");
        }
        assert!(directory >= newest_safe_directory, "directory {directory:?} instead of {newest_safe_directory:?}");
        for (id, (thing, found)) in self.things.iter_mut().zip(found).enumerate() {
            // An older directory is not seen; whether it is still there, only the loss of the newer one would tell. What
            // was once not found may come and go: a damaged newer piece hides it, is overwritten, and comes back when
            // a crash undoes that.
            let there = found || (thing.kind == Kind::Directory && Some(id) <= directory);
            thing.found = thing.found && there;
        }
        self.epoch = recovered.newest_epoch;
        self.sequence = recovered.newest_sequence();
        self.run += 1;
        let disk = std::mem::take(&mut self.file.disk);
        self.file = RingFile::new(disk, PathBuf::from("ring"), SMALL, &recovered);
    }

    fn thing(&self, payload: &[u8]) -> (usize, &Thing) {
        let id = u64::from_le_bytes(*payload.first_chunk().unwrap()) as usize;
        (id, &self.things[id])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_written_and_however_it_crashes_what_was_safe_is_found_and_what_is_found_is_true(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.apply(&Op::Kill { back: 0, cut: usize::MAX });
    }
}
