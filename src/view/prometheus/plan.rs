//! Which families a page shows.
//!
//! In: whose shape it has, the [`Sets`] that are on, and what was asked for. Out: the families in the order of the page.
//! A page without a filter has the same plan at every tick. Next: [`encoder`](super::encoder).

use super::Labels;
use super::families::{self, compat};
use super::family::Family;
use super::pick::Pick;
use super::set::{Set, Sets};

/// What is on of one shape.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Families of the tables, in their order.
    pub families: Vec<&'static Family>,
    /// Whether the agent's own metrics follow.
    pub agent: bool,
}

impl Plan {
    /// What a page shows. The kubelet's shape has the kubelet's families, whichever sets are on; cAdvisor's has its own
    /// of the sets that are on; neither has anything of the agent.
    #[must_use]
    pub fn new(labels: Labels, sets: Sets, pick: &Pick) -> Self {
        let wanted = |family: &&Family| pick.has(family.set) && pick.may_show(family.name);
        let in_shape = |family: &&Family| match labels {
            Labels::Full | Labels::Slim => sets.has(family.set),
            Labels::Kubelet => compat::cadvisor(family.name) == Some(true),
            Labels::Cadvisor => sets.has(family.set) && compat::cadvisor(family.name).is_some(),
        };
        let own = matches!(labels, Labels::Full | Labels::Slim);
        let instead: &[Family] = if own { &[] } else { compat::FAMILIES };
        let replaced = |family: &&Family| instead.iter().any(|other| other.name == family.name);
        let families = families::all().filter(|family| !replaced(family)).chain(instead);
        Self {
            families: families.filter(in_shape).filter(wanted).collect(),
            agent: own && sets.has(Set::Agent) && pick.has(Set::Agent),
        }
    }

    /// Whether it shows what happened since a scraper was here last: such a page begins a new window.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.families.iter().any(|family| matches!(family.set, Set::Peak | Set::Distribution))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(labels: Labels, sets: &str) -> Vec<&'static str> {
        let sets = Sets::parse(sets, Sets::default()).unwrap();
        Plan::new(labels, sets, &Pick::default()).families.iter().map(|family| family.name).collect()
    }

    #[test]
    fn every_family_belongs_to_a_set_that_can_be_named() {
        for family in families::all().chain(families::agent::FAMILIES).chain(compat::FAMILIES) {
            assert!(family.set.index().is_some(), "{}: {:?} is not in the list of sets", family.name, family.set);
        }
        assert_eq!(names(Labels::Full, "all").len(), families::all().count());
    }

    #[test]
    fn a_set_that_is_off_is_not_shown() {
        let shown = names(Labels::Full, "cpu");
        assert!(shown.contains(&"container_cpu_usage_seconds_total") && shown.contains(&"container_info"));
        assert!(!shown.iter().any(|name| name.starts_with("container_memory_")));
        assert_eq!(names(Labels::Full, "none,-always"), [""; 0]);
        let sets = Sets::parse("default,-agent,-peak,-distribution", Sets::default()).unwrap();
        let plan = Plan::new(Labels::Full, sets, &Pick::default());
        assert!(!plan.agent && !plan.looks_back());
        let plan = Plan::new(Labels::Full, Sets::default(), &Pick::default());
        assert!(plan.agent && plan.looks_back());
    }

    #[test]
    fn the_kubelets_page_has_the_kubelets_families_whichever_sets_are_on() {
        let shown = names(Labels::Kubelet, "none,-always");
        assert_eq!(shown, names(Labels::Kubelet, "all"));
        assert!(shown.iter().all(|name| compat::cadvisor(name) == Some(true)));
        for name in ["container_processes", "container_tasks_state", "machine_cpu_cores", "container_scrape_error"] {
            assert_eq!(shown.iter().filter(|shown| **shown == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn cadvisors_page_has_only_its_names_and_each_once() {
        let mut shown = names(Labels::Cadvisor, "all");
        assert!(shown.iter().all(|name| compat::cadvisor(name).is_some()));
        for family in compat::FAMILIES {
            assert!(shown.contains(&family.name), "{}", family.name);
        }
        shown.sort_unstable();
        assert!(shown.is_sorted_by(|one, next| one < next), "{shown:?}");
        let plan = Plan::new(Labels::Cadvisor, Sets::cadvisor(), &Pick::default());
        assert!(!plan.agent && plan.families.iter().all(|family| family.name != "container_processes"));
    }
}
