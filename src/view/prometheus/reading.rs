//! One value of one row: the functions that `/metrics` and history share, so that a number is the same in both.
//!
//! In: a family's [`Value`] and a row, of the newest sample or out of the ring. Out: a [`Number`], or `None` where the row
//! has no series. What is not in a row (maxima, tallies, the machine) has no [`Reading`]. Next:
//! [`encoder`](super::encoder) and `view/remote`.

use super::family::{Sight, Value};
use super::number::{Number, places};
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::sample::row::{Cell, Column, RowRef};

/// How a row is read: a [`Value`] with its column's unit looked up.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// A column and its decimal places.
    Decimal(usize, u8),
    /// The same for cgroups that have a CPU quota.
    WithQuota(usize, u8),
    /// A limit, unlimited as 0.
    LimitOrZero(usize),
    /// A function of the row.
    Computed(fn(&Sight<'_>) -> Option<Number>),
    /// 1 wherever there is a row.
    One,
}

impl Reading {
    /// How `value` is read from a row of `table`; `None` when a row is not enough.
    #[must_use]
    pub fn of(value: Value, table: Table) -> Option<Self> {
        let unit = |column: usize| table.metrics().get(column).map_or(0, |metric| places(metric.unit));
        match value {
            Value::Column(column) => Some(Self::Decimal(column, unit(column))),
            Value::Raw(column) => Some(Self::Decimal(column, 0)),
            Value::WithQuota(column) => Some(Self::WithQuota(column, unit(column))),
            Value::LimitOrZero(column) => Some(Self::LimitOrZero(column)),
            Value::Computed(function) => Some(Self::Computed(function)),
            Value::One => Some(Self::One),
            Value::Present(_)
            | Value::Detail(_)
            | Value::MachineDetail(_)
            | Value::Peak(_)
            | Value::Distribution(_)
            | Value::TimeToLimit
            | Value::Sum(..)
            | Value::Machine(_)
            | Value::Tally(..)
            | Value::TallyExits
            | Value::TallyCpu => None,
        }
    }

    /// The row's number. `sight` is asked for where a function looks beyond one column.
    #[inline]
    pub fn read<'a>(self, row: &RowRef<'_>, sight: impl FnOnce() -> Option<Sight<'a>>) -> Option<Number> {
        match self {
            Self::Decimal(column, places) => decimal(row, column, places),
            Self::WithQuota(column, places) => {
                row.value(CgroupColumn::CpuQuotaUsec)?;
                decimal(row, column, places)
            }
            Self::LimitOrZero(column) => match row.cell_at(column) {
                Cell::Value(value) => Some(Number::integer(value)),
                Cell::Unlimited => Some(Number::integer(0)),
                Cell::Absent => None,
            },
            Self::Computed(function) => function(&sight()?),
            Self::One => Some(Number::integer(1)),
        }
    }

    /// The columns that it looks at; `None` when it may look at any.
    #[must_use]
    pub fn columns(self) -> Option<Vec<usize>> {
        match self {
            Self::Decimal(column, _) | Self::LimitOrZero(column) => Some(vec![column]),
            Self::WithQuota(column, _) => Some(vec![column, CgroupColumn::CpuQuotaUsec.index()]),
            Self::Computed(_) => None,
            Self::One => Some(Vec::new()),
        }
    }
}

#[inline]
fn decimal(row: &RowRef<'_>, column: usize, places: u8) -> Option<Number> {
    row.cell_at(column).value().map(|units| Number::Decimal { units, places })
}
