//! Sealing: a full head becomes a segment, and the oldest segments become coarser ones before they have to go.
//!
//! In: a full [`Head`]. Out: framed segments in the arenas. It runs beside the tick: the tick hands over a full head and
//! goes on with an empty one. Nothing here touches a file. Next: [`arena`](super::arena).

use super::arena::{Arenas, Extent};
use super::chunk::Stage;
use super::coarsen::Coarsener;
use super::file::Framer;
use super::head::Head;
use super::segment::{BootId, SegmentBuilder, SegmentInfo};
use super::tier::Tier;
use crate::sample::SubjectId;
use crate::sample::catalogue::Table;

/// Most points of a tier that become one segment of the next.
const fn run_points(tier: Tier) -> usize {
    match tier {
        Tier::Tick => 1200,
        Tier::TenSeconds | Tier::Minute => 720,
    }
}

/// The tier that a tier's oldest segments go to.
const fn coarser(tier: Tier) -> Option<Tier> {
    match tier {
        Tier::Tick => Some(Tier::TenSeconds),
        Tier::TenSeconds => Some(Tier::Minute),
        Tier::Minute => None,
    }
}

/// What sealing needs, kept from time to time. There is one: segments are numbered by it.
#[derive(Debug, Default)]
pub(super) struct Sealer {
    stage: Stage,
    builder: SegmentBuilder,
    coarsener: Coarsener,
    subjects: Vec<(SubjectId, Table)>,
    /// The segment last made, by tier: a coarser one is made while the finer one waits for its place.
    framed: [Vec<u8>; Tier::ALL.len()],
    sequences: [u64; Tier::ALL.len()],
    pub framer: Framer,
    pub sequence: u64,
    pub boot: BootId,
}

impl Sealer {
    /// Makes a segment of a head. `None` when nothing is in it.
    pub fn seal(&mut self, head: &Head) -> Option<SegmentInfo> {
        let Self { stage, builder, subjects, framed: [framed, ..], sequences: [sequence, ..], .. } = self;
        builder.clear();
        let mut cells = 0;
        head.frames.iter().for_each(|info| builder.times.push(info.serial, info.wall, info.started_at));
        head.subjects(subjects);
        let points = head.frames.len();
        for (subject, table) in subjects.iter().copied() {
            stage.begin(table.metrics().len());
            head.stage(table, subject, |point, offset, row| stage.push(point, offset, row));
            if stage.rows() > 0 {
                cells += stage.cells();
                stage.finish(table, points, &mut builder.chunks);
                builder.end_chunk(subject);
            }
        }
        let first = head.frames.first()?.serial;
        self.sequence += 1;
        *sequence = self.sequence;
        builder.finish((Tier::Tick, self.boot, first, cells), (self.framer, *sequence), framed)
    }

    /// Makes one segment of the next tier out of the oldest segments of `tier` that are not in it yet.
    pub fn coarsen(&mut self, arenas: &Arenas, tier: Tier) -> Option<SegmentInfo> {
        let into = coarser(tier)?;
        let arena = arenas.of(tier);
        let done = coarsened(arenas, tier);
        let (mut points, mut bytes) = (0, 0);
        let mut boot = None;
        // What comes out is smaller than what goes in; half an arena is never filled by one segment.
        let most_bytes = arenas.of(into).size() / 2;
        let run = arena.after(done).take_while(|extent| {
            points += extent.info.points;
            bytes += extent.length;
            let same_boot = *boot.get_or_insert(extent.info.boot) == extent.info.boot;
            let first = points == extent.info.points;
            same_boot && (first || points <= run_points(tier) && bytes <= most_bytes)
        });
        let run: Vec<&Extent> = run.collect();
        let (first, boot) = run.first().map(|extent| (extent.info.first, extent.info.boot))?;
        let opened = run.iter().filter_map(|extent| Some((arena.open(extent)?, extent.damaged.as_slice())));
        let cells = self.coarsener.run(opened, into, &mut self.builder);
        self.sequence += 1;
        *self.sequences.get_mut(into as usize)? = self.sequence;
        let framed = self.framed.get_mut(into as usize)?;
        self.builder.finish((into, boot, first, cells), (self.framer, self.sequence), framed)
    }

    /// Makes coarser what has to go from `tier` for the segment that was made for it, and puts that into its arena.
    pub fn make_room(&mut self, arenas: &mut Arenas, tier: Tier) {
        while !has_room(arenas, tier, self.framed(tier).len()) {
            let Some(into) = coarser(tier) else { return };
            let Some(info) = self.coarsen(arenas, tier) else { return };
            self.make_room(arenas, into);
            let sequence = self.sequence_of(into);
            if !arenas.of_mut(into).push(self.framed(into), sequence, info, |_| {}) {
                return;
            }
        }
    }

    /// Number of the segment of a tier that was made last.
    pub fn sequence_of(&self, tier: Tier) -> u64 {
        self.sequences.get(tier as usize).copied().unwrap_or(0)
    }

    /// The segment of a tier that was made last.
    pub fn framed(&self, tier: Tier) -> &[u8] {
        self.framed.get(tier as usize).map_or(&[], Vec::as_slice)
    }
}

/// Serial of the last tick of `tier` that the next tier holds as well.
pub(super) fn coarsened(arenas: &Arenas, tier: Tier) -> u64 {
    coarser(tier).and_then(|into| arenas.of(into).extents().next_back()).map_or(0, |extent| extent.info.last)
}

/// Whether a segment of this length can take its place in `tier` without anything being lost that is not kept coarser.
pub(super) fn has_room(arenas: &Arenas, tier: Tier, length: usize) -> bool {
    let doomed = arenas.of(tier).doomed(length).unwrap_or(0);
    coarser(tier).is_none() || doomed <= coarsened(arenas, tier)
}

/// The next tier.
pub(super) const fn next(tier: Tier) -> Option<Tier> {
    coarser(tier)
}
