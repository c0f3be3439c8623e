//! Sizes of volumes behind a server or a program, which may hang for ever: asked by a thread of its own, so that a dead
//! server costs the numbers of such volumes and no others.
//!
//! In: mount points. Out: the newest answer for each, as old as it is. Source: statvfs(3). Next: `watch.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::host::{MountFacts, filesystem};
use super::{Backing, TreeUsage};

/// Most questions that wait; what does not fit is asked another time.
const WAITING: usize = 64;

type Answers = Arc<Mutex<BTreeMap<PathBuf, (Arc<Backing>, TreeUsage)>>>;

/// The thread `ringside-volume`. It ends when this is dropped, unless a dead server holds it.
#[derive(Debug)]
pub struct Asker {
    questions: SyncSender<(PathBuf, Arc<MountFacts>)>,
    answers: Answers,
}

impl Asker {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        let (questions, asked) = sync_channel::<(PathBuf, Arc<MountFacts>)>(WAITING);
        let answers = Answers::default();
        let given = Arc::clone(&answers);
        std::thread::Builder::new().name("ringside-volume".into()).spawn(move || {
            while let Ok((path, facts)) = asked.recv() {
                let Ok(size) = rustix::fs::statvfs(&path) else { continue };
                let (backing, usage) = filesystem(&size, Some(&facts));
                given.lock().unwrap_or_else(PoisonError::into_inner).insert(path, (Arc::new(backing), usage));
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks; the answer comes when it comes.
    pub fn ask(&self, path: PathBuf, facts: &Arc<MountFacts>) {
        // Full: the thread hangs or is behind, and will be asked again.
        let _ = self.questions.try_send((path, Arc::clone(facts)));
    }

    /// The newest answer.
    pub fn answer(&self, path: &PathBuf) -> Option<(Arc<Backing>, TreeUsage)> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// Forgets mount points that are no more.
    pub fn retain(&self, is_there: impl Fn(&PathBuf) -> bool) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).retain(|path, _| is_there(path));
    }
}
