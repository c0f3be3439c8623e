//! Starts the counting of containers' and pods' files.
//!
//! In: the configuration, the ring (who is there), discovery (what the runtimes say). Out: the running thread; dropping it
//! ends it. Next: `sample/storage`.

use std::sync::Arc;

use super::{AgentError, hierarchies};
use crate::config::{AgentConfig, StorageChoice};
use crate::discover::{CgroupLayout, Discoverer};
use crate::sample::details::DetailsCell;
use crate::sample::storage::{Bounds, StorageOptions, StorageWatch, access};
use crate::store::Store;

/// Starts the thread, unless `--storage=off` says not to.
///
/// # Errors
/// [`AgentError::Thread`] when there can be no more threads.
pub fn start(
    config: &AgentConfig,
    layout: &CgroupLayout,
    store: &Store,
    discoverer: &Discoverer,
    details: &Arc<DetailsCell>,
) -> Result<Option<StorageWatch>, AgentError> {
    match config.storage {
        StorageChoice::Off => return Ok(None),
        StorageChoice::Auto => {}
        StorageChoice::On => {
            if access(&config.rootfs, &config.kubelet_dir).iter().all(|place| place.error.is_some()) {
                tracing::warn!(
                    rootfs = %config.rootfs.display(),
                    "--storage=on, and no usual place of containers' files can be read; `ringside doctor` tells why"
                );
            }
        }
    }
    let options = StorageOptions {
        procfs: config.procfs.clone(),
        rootfs: config.rootfs.clone(),
        kubelet_dir: config.kubelet_dir.clone(),
        hierarchies: hierarchies(layout),
        interval: config.storage_interval,
        bounds: Bounds::default(),
    };
    let (store, files) = (store.clone(), discoverer.files());
    let watch = StorageWatch::start(options, move || store.latest(), move || files.all(), Arc::clone(details))?;
    Ok(Some(watch))
}
