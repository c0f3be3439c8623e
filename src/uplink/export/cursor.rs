//! How far a target has come, and what it is sent next. The ring is the queue: nothing is kept here but two instants.
//!
//! In: how far the ring reaches, the clock, what was accepted. Out: [`Window`]s, oldest first, without gap or overlap.
//! What is on its way is noted before it goes, so that after a restart the very same window is sent again and not a part
//! of it under another cut: a target that has it already refuses it as a whole, and nothing else with it. It reads no
//! clock and sends nothing. Next: `task.rs`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::batch::{Extent, Window};

/// The youngest sample that is sent is so old: the runtime has told the name of a container by then.
pub const SETTLE: Duration = Duration::from_secs(3);

/// A cursor that is so far ahead of the newest tick was set by a clock that has been set back since.
const AHEAD_MS: i64 = 60_000;

/// Longest file that is read.
const MOST_FILE_BYTES: u64 = 64 * 1024;

/// Most samples that are read at once, a step at least.
const MOST_SAMPLES: u64 = 200_000;

/// Series of a node before any were counted.
const LIKELY_SERIES: u64 = 2_000;

/// What is kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Whose cursor it is: another address has taken nothing yet.
    target: String,
    /// Up to when everything was accepted, in milliseconds since 1970.
    done_ms: i64,
    /// End of the window that may be on its way.
    until_ms: Option<i64>,
    /// Its step.
    step_ms: i64,
}

/// What a cursor plans by.
#[derive(Debug, Clone)]
pub struct CursorOptions {
    /// Address of the target.
    pub target: String,
    /// Where it is kept over restarts; `None` keeps it in memory.
    pub file: Option<PathBuf>,
    /// Time between samples of a series that are sent.
    pub step: Duration,
    /// Time between ticks.
    pub tick: Duration,
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What to send.
    pub window: Window,
    /// Time whose samples the ring has let go before they were sent, in milliseconds.
    pub lost_ms: i64,
}

/// How far one target has come.
#[derive(Debug)]
pub struct Cursor {
    state: State,
    file: Option<PathBuf>,
    step_ms: i64,
    tick_ms: i64,
    series: u64,
    /// Nothing was planned yet, and no earlier run has left a cursor.
    is_fresh: bool,
}

impl Cursor {
    /// Goes on where an earlier run stopped, or begins at `now_ms`: what was measured before a target was named is not
    /// sent to it.
    #[must_use]
    pub fn new(options: CursorOptions, now_ms: i64) -> Self {
        let tick_ms = milliseconds(options.tick).max(1);
        let step_ms = Some(milliseconds(options.step)).filter(|step| *step > tick_ms).unwrap_or(0);
        let kept = options.file.as_deref().and_then(read).filter(|kept| kept.target == options.target);
        let is_fresh = kept.is_none();
        let fresh = State { target: options.target, done_ms: now_ms, until_ms: None, step_ms };
        Self { state: kept.unwrap_or(fresh), file: options.file, step_ms, tick_ms, series: LIKELY_SERIES, is_fresh }
    }

    /// Up to when everything was accepted, in milliseconds since 1970.
    #[must_use]
    pub const fn done_ms(&self) -> i64 {
        self.state.done_ms
    }

    /// What is to be sent next; `None` while nothing new is ready.
    pub fn plan(&mut self, extent: Extent, now_ms: i64) -> Option<Plan> {
        if let Some(until_ms) = self.state.until_ms {
            let window = Window { after_ms: self.state.done_ms, until_ms, step_ms: self.state.step_ms };
            return Some(Plan { window, lost_ms: 0 });
        }
        if self.state.done_ms > extent.newest_ms.saturating_add(AHEAD_MS) {
            tracing::warn!("the clock was set back; samples are sent from the present on");
            self.state.done_ms = extent.newest_ms.saturating_sub(1);
        }
        let ready_ms = self.floor(extent.newest_ms.min(now_ms.saturating_sub(milliseconds(SETTLE))));
        // The end of the step that the oldest tick is in: what remains of it is sent.
        let oldest_ms = self.floor(extent.oldest_ms.saturating_sub(1));
        // The time before the first tick of all is not lost.
        let lost_ms = if self.is_fresh { 0 } else { oldest_ms.saturating_sub(self.state.done_ms).max(0) };
        let after_ms = self.state.done_ms.max(oldest_ms);
        if ready_ms <= after_ms {
            return None;
        }
        let steps = i64::try_from(MOST_SAMPLES / self.series.max(1)).unwrap_or(i64::MAX).max(1);
        let most_ms = steps.saturating_mul(self.step_ms.max(self.tick_ms));
        let until_ms = ready_ms.min(self.floor(after_ms.saturating_add(most_ms)));
        self.state.done_ms = after_ms;
        self.state.until_ms = Some(until_ms);
        self.state.step_ms = self.step_ms;
        self.is_fresh = false;
        self.keep();
        Some(Plan { window: Window { after_ms, until_ms, step_ms: self.step_ms }, lost_ms })
    }

    /// How much time is ready and was not accepted yet.
    #[must_use]
    pub fn behind_ms(&self, extent: Extent, now_ms: i64) -> u64 {
        let ready_ms = self.floor(extent.newest_ms.min(now_ms.saturating_sub(milliseconds(SETTLE))));
        u64::try_from(ready_ms.saturating_sub(self.state.done_ms)).unwrap_or(0)
    }

    /// All of the window was accepted, or refused for good; it had so many series.
    pub fn done(&mut self, series: usize) {
        self.series = u64::try_from(series).unwrap_or(u64::MAX).max(self.series / 2).max(1);
        if let Some(until_ms) = self.state.until_ms.take() {
            self.state.done_ms = until_ms;
            self.keep();
        }
    }

    /// The last instant of the newest step that has ended by then.
    const fn floor(&self, at_ms: i64) -> i64 {
        if self.step_ms == 0 {
            return at_ms;
        }
        (at_ms.saturating_add(1)).div_euclid(self.step_ms).saturating_mul(self.step_ms).saturating_sub(1)
    }

    /// A file that cannot be written costs what a restart then sends twice; the ring file tells of the disk.
    fn keep(&self) {
        let Some(path) = &self.file else { return };
        if let Err(error) = write(path, &self.state) {
            tracing::debug!(path = %path.display(), %error, "the cursor of a push could not be written");
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn read(path: &Path) -> Option<State> {
    let mut text = String::new();
    File::open(path).ok()?.take(MOST_FILE_BYTES).read_to_string(&mut text).ok()?;
    let state: State = serde_json::from_str(&text).ok()?;
    // What no run of this program has written is not believed.
    let is_sound = state.done_ms > 0 && state.step_ms >= 0 && state.until_ms.is_none_or(|until| until > state.done_ms);
    is_sound.then_some(state)
}

/// Replaces the file in one step, so that it is the old one or the new one whenever the machine stops.
fn write(path: &Path, state: &State) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_data()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn cursor(step: u64, file: Option<PathBuf>) -> Cursor {
        let options = CursorOptions {
            target: "http://here/".to_owned(),
            file,
            step: Duration::from_secs(step),
            tick: Duration::from_secs(1),
        };
        Cursor::new(options, NOW)
    }

    fn extent(oldest: i64, newest: i64) -> Extent {
        Extent { oldest_ms: NOW + oldest * 1000, newest_ms: NOW + newest * 1000 }
    }

    fn window(plan: Option<Plan>) -> (i64, i64) {
        let Plan { window, .. } = plan.unwrap();
        (window.after_ms - NOW, window.until_ms - NOW)
    }

    #[test]
    fn windows_follow_each_other_without_gap_or_overlap() {
        let mut cursor = cursor(1, None);
        assert_eq!(cursor.plan(extent(-60, 2), NOW + 2_000), None, "too young");
        assert_eq!(window(cursor.plan(extent(-60, 10), NOW + 10_500)), (0, 7_500));
        assert_eq!(window(cursor.plan(extent(-60, 30), NOW + 30_000)), (0, 7_500), "until it is accepted");
        cursor.done(10);
        assert_eq!(window(cursor.plan(extent(-60, 30), NOW + 30_000)), (7_500, 27_000));
        assert_eq!(cursor.done_ms(), NOW + 7_500);
    }

    #[test]
    fn a_step_is_sent_when_it_has_ended() {
        let mut cursor = cursor(15, None);
        // 1,700,000,000 is 5 s into a step of 15 s.
        assert_eq!(NOW / 1000 % 15, 5);
        assert_eq!(cursor.plan(extent(0, 12), NOW + 12_500), None);
        assert_eq!(window(cursor.plan(extent(0, 14), NOW + 14_000)), (0, 9_999));
        cursor.done(10);
        assert_eq!(window(cursor.plan(extent(0, 80), NOW + 80_000)), (9_999, 69_999));
    }

    #[test]
    fn after_an_hour_away_the_oldest_goes_first_in_pieces_that_fit() {
        let mut cursor = cursor(1, None);
        cursor.done(0);
        cursor.series = 1_000;
        assert_eq!(window(cursor.plan(extent(-60, 3600), NOW + 3_600_000)), (0, 200_000));
        cursor.done(2_000);
        assert_eq!(window(cursor.plan(extent(-60, 3600), NOW + 3_600_000)), (200_000, 300_000));
        assert_eq!(cursor.behind_ms(extent(-60, 3600), NOW + 3_600_000), 3_397_000);
    }

    #[test]
    fn what_the_ring_has_let_go_is_lost_and_told() {
        let mut cursor = cursor(1, None);
        assert_eq!(cursor.plan(extent(1, 10), NOW + 10_000).unwrap().lost_ms, 0, "before the first tick");
        cursor.done(1);
        let plan = cursor.plan(extent(100, 200), NOW + 200_000).unwrap();
        assert_eq!((plan.lost_ms, plan.window.after_ms), (92_999, NOW + 99_999));
        cursor.done(1);
        assert_eq!(cursor.plan(extent(100, 300), NOW + 300_000).unwrap().lost_ms, 0);
    }

    #[test]
    fn a_new_run_sends_what_was_on_its_way_under_the_same_cut_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cursor");
        let mut before = cursor(1, Some(file.clone()));
        before.plan(extent(-60, 10), NOW + 10_000).unwrap();
        before.done(1);
        assert_eq!(window(before.plan(extent(-60, 20), NOW + 20_000)), (7_000, 17_000));
        drop(before);
        let mut after = Cursor::new(
            CursorOptions {
                target: "http://here/".to_owned(),
                file: Some(file.clone()),
                step: Duration::from_secs(30),
                tick: Duration::from_secs(1),
            },
            NOW + 90_000,
        );
        let plan = after.plan(extent(-60, 100), NOW + 100_000).unwrap();
        assert_eq!(plan.window, Window { after_ms: NOW + 7_000, until_ms: NOW + 17_000, step_ms: 0 });
        after.done(1);
        assert_eq!(after.plan(extent(-60, 100), NOW + 100_000).unwrap().window.step_ms, 30_000);
        let other = CursorOptions {
            target: "http://there/".to_owned(),
            file: Some(file),
            step: Duration::from_secs(1),
            tick: Duration::from_secs(1),
        };
        assert_eq!(Cursor::new(other, NOW + 5).done_ms(), NOW + 5, "another target has taken nothing");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cursor");
        for damage in [
            "",
            "{",
            "[]",
            "\u{0}",
            r#"{"target":"http://here/","done_ms":-5}"#,
            r#"{"target":"http://here/","done_ms":9,"until_ms":3}"#,
        ] {
            fs::write(&file, damage).unwrap();
            assert_eq!(cursor(1, Some(file.clone())).done_ms(), NOW, "{damage}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_silence_the_push() {
        let mut cursor = cursor(1, None);
        let hour = 3_600_000;
        assert_eq!(cursor.plan(extent(-7200, -3600), NOW - hour), None);
        assert_eq!(window(cursor.plan(extent(-7200, -3590), NOW + 10_000 - hour)), (-hour - 1, 7_000 - hour));
    }
}
