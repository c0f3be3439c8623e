//! Files that are read again when they change.
//!
//! In: paths. Out: a call for each change, noticed within seconds by what `stat` says: modification time, length, inode.
//! Kubernetes replaces mounted Secrets by turning a symbolic link, which changes the inode. Next: certificates, tokens.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CertificateError, ServingCert};
use crate::auth::{LOOK, Task};

/// More than any chain of certificates has; a path to something huge must not fill memory.
const LONGEST_FILE: u64 = 1 << 20;

/// What `stat` says of files, to be compared with what it says later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(i64, i64, u64, u64)>>);

impl Stamp {
    /// How the files look now; a missing file looks different from any other.
    #[must_use]
    pub fn of(paths: &[PathBuf]) -> Self {
        let look = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
        };
        Self(paths.iter().map(look).collect())
    }
}

/// Calls `changed` on a thread where it may wait, each time that one of the files looks different from before. It ends
/// when the runtime does, or when it is dropped.
pub async fn each_change(
    paths: Vec<PathBuf>,
    mut before: Stamp,
    every: Duration,
    changed: impl Fn() + Clone + Send + 'static,
) {
    loop {
        tokio::time::sleep(every).await;
        let (paths, changed) = (paths.clone(), changed.clone());
        let was = before.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = Stamp::of(&paths);
            if now != was {
                changed();
            }
            now
        });
        if let Ok(now) = looked.await {
            before = now;
        }
    }
}

/// A file's bytes.
///
/// # Errors
/// [`CertificateError::File`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    use std::io::Read;
    let failed = |source| CertificateError::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Serves a pair of files, and reads them again when one of them changes.
pub fn reloading(chain: PathBuf, key: PathBuf) -> Result<ServingCert, CertificateError> {
    let paths = vec![chain.clone(), key.clone()];
    // Looked at before they are read: a change in between is read again.
    let before = Stamp::of(&paths);
    let place = format!("{} and {}", chain.display(), key.display());
    let served = ServingCert::from_pem(&place, &read_file(&chain)?, &read_file(&key)?)?;
    let shown = served.clone();
    let changed = move || {
        let again = || shown.replace(&place, &read_file(&chain)?, &read_file(&key)?);
        match again() {
            Ok(()) => tracing::info!("{place}: changed, and served from now on"),
            Err(error) => tracing::warn!("{error}; the certificate from before is served on"),
        }
    };
    Ok(served.kept_by(Task::start(each_change(paths, before, LOOK, changed))))
}
