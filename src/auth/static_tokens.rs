//! Bearer tokens from a file, for machines outside of Kubernetes.
//!
//! In: lines of `token,user,uid,"group1,group2"`, as kube-apiserver's `--token-auth-file` has them. Out: whose token it
//! is. The file is read again when it changes. Next: `authenticator.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::certificates::{CertificateError, Stamp, each_change, read_file};
use super::flights::{Hasher, Key};
use super::{Identity, LOOK, Task};

/// Every token of the file is compared with, so a request costs more the more there are.
const MOST: usize = 1000;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StaticTokensError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] CertificateError),
    /// A line is not as it should be.
    #[error("{}: line {line}: {why}; write token,user,uid,\"group1,group2\"", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong with it. Never what stands in it.
        why: &'static str,
    },
}

#[derive(Debug, Default)]
struct Table(Vec<(Key, Identity)>);

/// The tokens of a file. Cloning shares them.
#[derive(Debug, Clone)]
pub struct StaticTokens {
    hasher: Hasher,
    table: Arc<ArcSwap<Table>>,
    _kept: Arc<Task>,
}

impl StaticTokens {
    /// Reads the file, and reads it again when it changes; a file that became unusable is logged, and the tokens from
    /// before are believed on. It must be called within a runtime.
    ///
    /// # Errors
    /// [`StaticTokensError`] when it cannot be used now.
    pub fn from_file(path: PathBuf) -> Result<Self, StaticTokensError> {
        let hasher = Hasher::default();
        let paths = vec![path.clone()];
        let before = Stamp::of(&paths);
        let table = Arc::new(ArcSwap::from_pointee(read(&path, &hasher)?));
        let (shown, keyed) = (Arc::clone(&table), hasher.clone());
        let changed = move || match read(&path, &keyed) {
            Ok(table) => {
                tracing::info!(tokens = table.0.len(), "{}: changed, and believed from now on", path.display());
                shown.store(Arc::new(table));
            }
            Err(error) => tracing::warn!("{error}; the tokens from before are believed on"),
        };
        let kept = Arc::new(Task::start(each_change(paths, before, LOOK, changed)));
        Ok(Self { hasher, table, _kept: kept })
    }

    /// Whose token it is.
    #[must_use]
    pub fn identity(&self, token: &str) -> Option<Identity> {
        let key = self.hasher.key(token.as_bytes());
        let table = self.table.load();
        // All are compared, to the end: how long it takes tells nothing of how near a guess was.
        let mut found = None;
        for (known, identity) in &table.0 {
            let difference = known.iter().zip(&key).fold(0, |difference, (a, b)| difference | (a ^ b));
            if difference == 0 {
                found = Some(identity);
            }
        }
        found.cloned()
    }
}

fn read(path: &Path, hasher: &Hasher) -> Result<Table, StaticTokensError> {
    let text = read_file(path)?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_slice());
    let mut table = Table::default();
    for record in reader.records() {
        let wrong = |line: u64, why| StaticTokensError::Line { path: path.to_owned(), line, why };
        let record =
            record.map_err(|error| wrong(error.position().map_or(0, csv::Position::line), "cannot be read"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at| record.get(at).unwrap_or_default();
        if record.len() < 3 {
            return Err(wrong(line, "has fewer than three fields"));
        }
        if field(0).is_empty() || field(1).is_empty() {
            return Err(wrong(line, "has an empty token or user"));
        }
        if table.0.len() >= MOST {
            return Err(wrong(line, "is one too many: at most 1000 tokens are taken"));
        }
        let key = hasher.key(field(0).as_bytes());
        if table.0.iter().any(|(known, _)| *known == key) {
            return Err(wrong(line, "repeats a token"));
        }
        let groups = field(3).split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect();
        let uid = Some(field(2)).filter(|uid| !uid.is_empty()).map(str::to_owned);
        let identity = Identity { user: field(1).to_owned(), uid, groups, ..Identity::default() };
        table.0.push((key, identity.authenticated()));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Result<StaticTokens, StaticTokensError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.csv");
        std::fs::write(&path, text).unwrap();
        StaticTokens::from_file(path)
    }

    #[tokio::test]
    async fn a_token_is_its_users_with_uid_and_groups() {
        let tokens = from("abc,prometheus,7,\"scrapers, readers\"\ndef,other,\n").unwrap();
        let known = tokens.identity("abc").unwrap();
        assert_eq!(
            (known.user.as_str(), known.uid.as_deref(), known.groups),
            ("prometheus", Some("7"), vec!["scrapers".into(), "readers".into(), "system:authenticated".into()]),
        );
        assert_eq!(tokens.identity("def").unwrap().uid, None);
        for wrong in ["", "ab", "abcd", "ABC", "prometheus"] {
            assert_eq!(tokens.identity(wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_line_is_named_without_its_token() {
        for (text, want) in [
            ("a,b,c\nsecret,user\n", "line 2: has fewer than three fields"),
            (",user,1\n", "line 1: has an empty token or user"),
            ("secret,,1\n", "line 1: has an empty token or user"),
            ("secret,a,1\nsecret,b,2\n", "line 2: repeats a token"),
        ] {
            let said = from(text).unwrap_err().to_string();
            assert!(said.contains(want), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
