//! What a metric family is: a name, a help text, a type and where its series come from.
//!
//! In: nothing. Out: the plain data that the tables in [`families`](super::families) are written in. A family is one
//! line of a table; nothing registers itself. Next: [`encoder`](super::encoder).

use super::layout::{Rows, Scope};
use super::maxima::Peak;
use super::number::Number;
use super::set::Set;
use crate::sample::catalogue::{
    CgroupColumn, CpuColumn, DeviceColumn, DiskColumn, FilesystemColumn, HugetlbColumn, InterfaceColumn, NodeColumn,
};
use crate::sample::details::Details;
use crate::sample::row::RowRef;
use crate::sample::{MachineFacts, Subject, SubjectId, Tallies, Tally};
use crate::units::UnixNanos;

/// Type of a family, in the words of the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Constant 1; its labels are what it says.
    Info,
}

/// A metric family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Name of its samples.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Counter, gauge or info.
    pub kind: Type,
    /// What it is turned on and off with.
    pub set: Set,
    /// Where its series come from.
    pub series: &'static [Series],
}

/// A counter.
#[must_use]
pub const fn counter(name: &'static str, help: &'static str, series: &'static [Series]) -> Family {
    Family { name, help, kind: Type::Counter, set: Set::Always, series }
}

/// A gauge.
#[must_use]
pub const fn gauge(name: &'static str, help: &'static str, series: &'static [Series]) -> Family {
    Family { name, help, kind: Type::Gauge, set: Set::Always, series }
}

/// An info: always 1.
#[must_use]
pub const fn info(name: &'static str, help: &'static str, series: &'static [Series]) -> Family {
    Family { name, help, kind: Type::Info, set: Set::Always, series }
}

impl Family {
    /// The same in another set.
    #[must_use]
    pub const fn of(self, set: Set) -> Self {
        Self { set, ..self }
    }

    /// The base unit that the name ends with, if it is one that OpenMetrics may be told.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        let base = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes", "ratio"]
            .into_iter()
            .find(|unit| base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }
}

/// What a computed value may look at: a row of the newest sample or of history, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Wall clock of the row's tick.
    pub wall: UnixNanos,
    /// The machine.
    pub machine: &'a MachineFacts,
    /// Who the row belongs to.
    pub subject: &'a Subject,
    /// The row.
    pub row: RowRef<'a>,
    /// What kind of cgroup it is.
    pub scope: Scope,
    /// How CPU shares were turned into weights on this node.
    pub formula: super::shares::Formula,
}

/// Looks up a subject's series in the details, and hands each to the function: its own labels, rendered, and its value.
pub type DetailFn = fn(&Details, SubjectId, &mut dyn FnMut(&str, Number));

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// A column; absent and unlimited cells give no series. The column's unit gives the decimal places.
    Column(usize),
    /// A limit column; unlimited is shown as 0, which is how cAdvisor says it.
    LimitOrZero(usize),
    /// A column, for cgroups that have a CPU quota.
    WithQuota(usize),
    /// A column in the kernel's own unit.
    Raw(usize),
    /// A small function of the row.
    Computed(fn(&Sight<'_>) -> Option<Number>),
    /// A function that looks beyond the row, at what is known about the newest tick only: history cannot answer it.
    Present(fn(&Sight<'_>, &Tallies) -> Option<Number>),
    /// The highest value in one tick since the last scrape.
    Peak(Peak),
    /// A function of the machine.
    Machine(fn(&MachineFacts) -> Option<u64>),
    /// A count that outlives containers, with the decimal places of its unit.
    Tally(fn(&Tally) -> u64, u8),
    /// One series per (exit code, reason) of a tally.
    TallyExits,
    /// A tally's CPU time, the living instances' included, in seconds.
    TallyCpu,
    /// What was read off the tick: any number of series for a subject, each with labels of its own, rendered.
    Detail(DetailFn),
    /// 1.
    One,
}

/// One series per subject.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// Subjects and their labels.
    pub rows: Rows,
    /// The value.
    pub value: Value,
    /// More labels, rendered: `cpu="total"`.
    pub labels: &'static str,
    /// Which kinds of cgroups.
    pub scope: Scope,
}

impl Series {
    /// A series of some rows.
    #[must_use]
    pub const fn new(rows: Rows, value: Value) -> Self {
        Self { rows, value, labels: "", scope: Scope::ALL }
    }

    /// The same with more labels.
    #[must_use]
    pub const fn with(self, labels: &'static str) -> Self {
        Self { labels, ..self }
    }

    /// The same for some kinds of cgroups.
    #[must_use]
    pub const fn only(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same where a quota is set.
    #[must_use]
    pub const fn with_quota(self) -> Self {
        match self.value {
            Value::Column(column) => Self { value: Value::WithQuota(column), ..self },
            _ => self,
        }
    }

    /// The same in the kernel's own unit: cAdvisor shows period and quota in microseconds.
    #[must_use]
    pub const fn in_kernel_units(self) -> Self {
        match self.value {
            Value::Column(column) => Self { value: Value::Raw(column), ..self },
            _ => self,
        }
    }

    /// The same with unlimited shown as 0.
    #[must_use]
    pub const fn unlimited_is_zero(self) -> Self {
        match self.value {
            Value::Column(column) => Self { value: Value::LimitOrZero(column), ..self },
            _ => self,
        }
    }
}

/// A column of the cgroup table, for every cgroup.
#[must_use]
pub const fn cgroup(column: CgroupColumn) -> Series {
    Series::new(Rows::Cgroups, Value::Column(column as usize))
}

/// A computed value of a cgroup.
#[must_use]
pub const fn computed(function: fn(&Sight<'_>) -> Option<Number>) -> Series {
    Series::new(Rows::Cgroups, Value::Computed(function))
}

/// A value of a cgroup that only the present tells.
#[must_use]
pub const fn present(function: fn(&Sight<'_>, &Tallies) -> Option<Number>) -> Series {
    Series::new(Rows::Cgroups, Value::Present(function))
}

/// A column of a cgroup's block device.
#[must_use]
pub const fn device(column: DeviceColumn) -> Series {
    Series::new(Rows::Devices, Value::Column(column as usize))
}

/// A column of a cgroup's block device, with its number.
#[must_use]
pub const fn blkio(column: DeviceColumn) -> Series {
    Series::new(Rows::BlkioDevices, Value::Column(column as usize))
}

/// A column of a cgroup's huge page size.
#[must_use]
pub const fn hugepage(column: HugetlbColumn) -> Series {
    Series::new(Rows::Hugepages, Value::Column(column as usize))
}

/// A column of an interface of the node, a pod or a container.
#[must_use]
pub const fn interface(column: InterfaceColumn) -> Series {
    Series::new(Rows::Interfaces, Value::Column(column as usize))
}

/// A column of one of the node's disks, shown as the root cgroup's.
#[must_use]
pub const fn root_disk(column: DiskColumn) -> Series {
    Series::new(Rows::RootDisks, Value::Column(column as usize))
}

/// The same for disks that the root cgroup does not count itself.
#[must_use]
pub const fn root_disk_without_cgroup(column: DiskColumn) -> Series {
    Series::new(Rows::RootDisksWithoutCgroup, Value::Column(column as usize))
}

/// A column of a mounted filesystem, shown as the root cgroup's.
#[must_use]
pub const fn root_filesystem(column: FilesystemColumn) -> Series {
    Series::new(Rows::RootFilesystems, Value::Column(column as usize))
}

/// A column of the node.
#[must_use]
pub const fn node(column: NodeColumn) -> Series {
    Series::new(Rows::Node, Value::Column(column as usize))
}

/// A column of one of the node's CPUs.
#[must_use]
pub const fn node_cpu(column: CpuColumn) -> Series {
    Series::new(Rows::NodeCpus, Value::Column(column as usize))
}

/// A column of one of the node's disks.
#[must_use]
pub const fn node_disk(column: DiskColumn) -> Series {
    Series::new(Rows::NodeDisks, Value::Column(column as usize))
}

/// A column of one of the node's own interfaces.
#[must_use]
pub const fn node_interface(column: InterfaceColumn) -> Series {
    Series::new(Rows::NodeInterfaces, Value::Column(column as usize))
}

/// A column of one of the node's mounts.
#[must_use]
pub const fn node_filesystem(column: FilesystemColumn) -> Series {
    Series::new(Rows::NodeFilesystems, Value::Column(column as usize))
}

/// A fact about the machine.
#[must_use]
pub const fn machine(function: fn(&MachineFacts) -> Option<u64>) -> Series {
    Series::new(Rows::Machine, Value::Machine(function))
}

/// A count that outlives containers.
#[must_use]
pub const fn tally(function: fn(&Tally) -> u64) -> Series {
    Series::new(Rows::Tallies, Value::Tally(function, 0))
}

/// The highest value in one tick since the last scrape.
#[must_use]
pub const fn peak(peak: Peak) -> Series {
    Series::new(Rows::Cgroups, Value::Peak(peak)).only(Scope::WORKLOADS)
}
