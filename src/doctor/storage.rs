//! Check of `--storage`: which places of containers' files can be read, and who would count.
//!
//! In: the configuration. Out: one [`Finding`]. It opens folders and reads none.

use super::permissions::Own;
use super::{Finding, State};
use crate::config::{AgentConfig, StorageChoice};
use crate::sample::storage::{Access, access};
use crate::units::ErrorClass;

const NAME: &str = "storage";
const COST: &str = "what containers and pods keep there has no numbers, unless their CRI runtime tells them";

pub(super) fn check(config: &AgentConfig, own: &Own) -> Finding {
    if config.storage == StorageChoice::Off {
        let cost = "container_fs_usage_bytes and its kin are given for the node only";
        return Finding::of(NAME, State::Missing, "switched off", cost, "start the agent with --storage=auto");
    }
    finding(&access(&config.rootfs, &config.kubelet_dir), config.cri_paths().iter().any(|path| path.exists()), own)
}

fn finding(places: &[Access], has_cri: bool, own: &Own) -> Finding {
    let of = |is_wanted: fn(&Option<ErrorClass>) -> bool| {
        let wanted = places.iter().filter(|place| is_wanted(&place.error));
        wanted.map(|place| format!("{} ({})", place.path.display(), place.what)).collect::<Vec<_>>().join(", ")
    };
    let readable = of(Option::is_none);
    let denied = of(|error| error.is_some_and(|class| class != ErrorClass::Gone));
    let mut sources = Vec::new();
    if has_cri {
        sources.push("the CRI runtime's own counts of writable layers");
    }
    if own.may_read_quota() {
        sources.push("project quota where a directory has one");
    }
    sources.push("a walk at less than 1 % of a CPU");
    let sources = sources.join(", then ");
    let seen = |places: &str| format!("readable: {places}; counted by {sources}");
    let cure = "let the agent run as root with the host's root folder mounted read-only, and give it by --rootfs";
    match (readable.is_empty(), denied.is_empty()) {
        (false, true) => Finding::ok(NAME, seen(&readable)),
        (false, false) => {
            Finding::of(NAME, State::Limited, format!("{}; not readable: {denied}", seen(&readable)), COST, cure)
        }
        (true, false) => Finding::of(NAME, State::Missing, format!("not readable: {denied}"), COST, cure),
        (true, true) => {
            let seen = "no place of containers' files is there";
            let cure = "where containers run: mount the host's root folder read-only, and give it by --rootfs";
            Finding::of(NAME, State::Missing, seen, COST, cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn place(path: &str, error: Option<ErrorClass>) -> Access {
        Access { path: PathBuf::from(path), what: "files", error }
    }

    #[test]
    fn what_is_not_there_limits_nothing_and_what_is_denied_does() {
        let own = Own::default();
        let absent = place("/var/lib/docker", Some(ErrorClass::Gone));
        let found = finding(&[place("/var/log/pods", None), absent.clone()], true, &own);
        assert_eq!((found.state, found.cost), (State::Ok, None));
        assert!(
            found.seen.starts_with("readable: /var/log/pods (files); counted by the CRI runtime's"),
            "{}",
            found.seen
        );
        let denied = place("/var/lib/containerd", Some(ErrorClass::Denied));
        let found = finding(&[place("/var/log/pods", None), denied.clone()], false, &own);
        assert_eq!(found.state, State::Limited);
        assert!(found.seen.contains("not readable: /var/lib/containerd (files)"), "{}", found.seen);
        assert_eq!(finding(&[absent.clone(), denied], false, &own).state, State::Missing);
        let none = finding(&[absent], false, &own);
        assert!(none.state == State::Missing && none.cure.unwrap().contains("--rootfs"));
    }
}
