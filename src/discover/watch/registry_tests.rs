//! Facts about the registry's events. In: appearances and losses. Out: the event list, written as short words.

use super::*;

struct Lab {
    registry: Registry,
    out: Vec<Discovery>,
    now: u64,
}

impl Lab {
    fn new(trees: usize, capacity: usize) -> Self {
        Self { registry: Registry::new(trees, capacity), out: Vec::new(), now: 0 }
    }

    fn appear(&mut self, tree: usize, path: &str, inode: u64) -> Appeared {
        let now = MonotonicNanos(self.now);
        let sighting = Sighting { tree, inode, created_at: UnixNanos(inode), scan: 1, now };
        self.registry.appear(path.as_bytes(), sighting, &mut self.out)
    }

    fn vanish(&mut self, tree: usize, path: &str) {
        self.registry.vanish(tree, path.as_bytes(), &mut self.out);
    }

    /// The events so far, after `nanos` more.
    fn after(&mut self, nanos: u64) -> Vec<String> {
        self.now += nanos;
        self.registry.births(MonotonicNanos(self.now), &mut self.out);
        let word = |event: &Discovery| match event {
            Discovery::Born { path, workload } => format!("+{} {}", String::from_utf8_lossy(path), workload.inode),
            Discovery::Removed { path, inode } => format!("-{} {inode}", String::from_utf8_lossy(path)),
            Discovery::Emptied { path, inode } => format!("0{} {inode}", String::from_utf8_lossy(path)),
            other => panic!("{other:?}"),
        };
        self.out.drain(..).map(|event| word(&event)).collect()
    }
}

#[test]
fn parents_are_born_before_children_and_die_after_them() {
    let mut lab = Lab::new(1, 100);
    for (path, inode) in [("a/b/c", 4), ("a", 2), ("", 1), ("a/b", 3), ("a0", 9)] {
        assert_eq!(lab.appear(0, path, inode), Appeared::New);
    }
    assert_eq!(lab.after(0), ["+ 1", "+a 2", "+a0 9", "+a/b 3", "+a/b/c 4"]);
    lab.vanish(0, "a");
    assert_eq!(lab.after(0), ["-a/b/c 4", "-a/b 3", "-a 2"]);
    assert_eq!(lab.registry.len(), 2);
}

#[test]
fn a_birth_waits_for_the_other_hierarchies_but_not_long() {
    let mut lab = Lab::new(2, 100);
    lab.appear(1, "x", 70);
    assert_eq!(lab.after(1_000_000), Vec::<String>::new());
    lab.appear(0, "x", 7);
    assert_eq!(lab.after(0), ["+x 7"], "complete: reported at once, with the first hierarchy's inode");
    lab.appear(1, "y", 80);
    assert_eq!(lab.after(SETTLE_NANOS), ["+y 80"], "overdue: reported with what there is");
    lab.appear(0, "y", 8);
    assert_eq!(lab.after(SETTLE_NANOS), Vec::<String>::new(), "the inode of a reported cgroup does not change");
}

#[test]
fn a_cgroup_lives_until_every_hierarchy_has_lost_it() {
    let mut lab = Lab::new(2, 100);
    lab.appear(0, "x", 7);
    lab.appear(1, "x", 70);
    lab.after(0);
    lab.vanish(0, "x");
    assert_eq!(lab.after(0), Vec::<String>::new());
    lab.vanish(1, "x");
    assert_eq!(lab.after(0), ["-x 7"]);
}

#[test]
fn a_reused_name_is_a_removal_and_a_birth() {
    let mut lab = Lab::new(1, 100);
    lab.appear(0, "x", 7);
    lab.appear(0, "x/y", 8);
    lab.after(0);
    assert_eq!(lab.appear(0, "x", 9), Appeared::New);
    assert_eq!(lab.after(0), ["-x/y 8", "-x 7", "+x 9"]);
}

#[test]
fn an_unreported_cgroup_that_dies_is_reported_born_first() {
    let mut lab = Lab::new(2, 100);
    lab.appear(0, "x", 7);
    lab.vanish(0, "x");
    assert_eq!(lab.after(0), ["+x 7", "-x 7"]);
}

#[test]
fn emptied_is_reported_once_per_change() {
    let mut lab = Lab::new(1, 100);
    lab.appear(0, "x", 7);
    for populated in [false, true, true, false, false, true, false] {
        lab.registry.set_populated(b"x", populated, &mut lab.out);
    }
    assert_eq!(lab.after(0), ["+x 7", "0x 7", "0x 7"]);
}

#[test]
fn a_sweep_removes_what_the_scan_did_not_see() {
    let mut lab = Lab::new(1, 100);
    lab.appear(0, "x", 7);
    lab.appear(0, "y", 8);
    lab.after(0);
    let sighting = Sighting { tree: 0, inode: 8, created_at: UnixNanos(0), scan: 2, now: MonotonicNanos(0) };
    lab.registry.appear(b"y", sighting, &mut lab.out);
    lab.registry.sweep(0, 2, &mut lab.out);
    assert_eq!(lab.after(0), ["-x 7"]);
}

#[test]
fn at_the_cap_containers_stay_and_systemd_units_go() {
    let mut lab = Lab::new(1, 4);
    let id = "a".repeat(64);
    lab.appear(0, "", 1);
    lab.appear(0, "system.slice", 2);
    lab.appear(0, "system.slice/ssh.service", 3);
    lab.appear(0, "docker", 4);
    lab.after(0);
    assert_eq!(lab.appear(0, "system.slice/cron.service", 5), Appeared::Shed);
    assert_eq!(lab.appear(0, &format!("docker/{id}"), 6), Appeared::New);
    assert_eq!(lab.after(0), ["-system.slice/ssh.service 3".to_owned(), format!("+docker/{id} 6")]);
    assert_eq!(lab.registry.evicted, 1);
    assert_eq!(lab.registry.take_gone(), [(0, Arc::from(b"system.slice/ssh.service".as_slice()))]);
}
