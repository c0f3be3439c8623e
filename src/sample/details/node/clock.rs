//! Collectors of the clock: its sources, its zone, its discipline.
//!
//! In: `/sys/devices/system/clocksource`, `etc/localtime` beside the given procfs, adjtimex(2). Out: their parts. Kernel
//! documentation: `Documentation/timers/timekeeping.rst`, tzfile(5). Next: [`reader`](super::reader).

use tz::TimeZone;

use super::source::{Missing, Source};
use super::{DetailRow, Found, Part};
use crate::kernel::adjtimex::read_timex;
use crate::sample::clock;

pub(super) fn time(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("devices/system/clocksource");
    let (mut available, mut current) = (Vec::new(), Vec::new());
    for (number, name) in source.numbered(&folder, "clocksource") {
        let row = |word: &str| DetailRow::default().with("device", number.to_string()).with("clocksource", word);
        let words = |text: Option<String>| text.unwrap_or_default();
        available
            .extend(words(source.text(&folder.join(&name).join("available_clocksource"))).split_whitespace().map(row));
        current.extend(words(source.text(&folder.join(&name).join("current_clocksource"))).split_whitespace().map(row));
    }
    let localtime = source.root.join("etc/localtime");
    let zone = source.bytes(&localtime).and_then(|bytes| TimeZone::from_tz_data(bytes).ok());
    let (offset_seconds, name) = offset_at(&zone.unwrap_or_else(TimeZone::utc), clock::wall().0 / 1_000_000_000);
    let mut row = DetailRow::default().with("time_zone", name);
    row.put("offset_seconds", Some(offset_seconds));
    Ok(vec![(Part::ClocksourceAvailable, available), (Part::ClocksourceCurrent, current), (Part::TimeZone, vec![row])])
}

/// Seconds east of UTC, and what the zone is called at that time. A node without the file is on UTC.
fn offset_at(zone: &TimeZone, unix_seconds: u64) -> (i64, String) {
    let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    zone.find_local_time_type(now)
        .map(|kind| (i64::from(kind.ut_offset()), kind.time_zone_designation().to_owned()))
        .ok()
        .filter(|(_, name)| !name.is_empty())
        .unwrap_or((0, "UTC".to_owned()))
}

pub(super) fn timex(_: &mut Source) -> Result<Found, Missing> {
    let timex = read_timex().map_err(|_| Missing)?;
    let mut row = DetailRow::default();
    row.put("synchronised", Some(u64::from(timex.synchronised)));
    for (key, value) in [
        ("offset_nanos", timex.offset_nanos),
        ("frequency_ppm_65536ths", timex.frequency_ppm_65536ths),
        ("max_error_usec", timex.max_error_usec),
        ("estimated_error_usec", timex.estimated_error_usec),
        ("status", timex.status),
        ("constant", timex.constant),
        ("tick_usec", timex.tick_usec),
        ("pps_frequency_ppm_65536ths", timex.pps_frequency_ppm_65536ths),
        ("pps_jitter_nanos", timex.pps_jitter_nanos),
        ("pps_shift_seconds", timex.pps_shift_seconds),
        ("pps_stability_ppm_65536ths", timex.pps_stability_ppm_65536ths),
        ("pps_jitter_exceeded", timex.pps_jitter_exceeded),
        ("pps_calibrations", timex.pps_calibrations),
        ("pps_errors", timex.pps_errors),
        ("pps_stability_exceeded", timex.pps_stability_exceeded),
        ("tai_offset_seconds", timex.tai_offset_seconds),
    ] {
        row.put(key, Some(value));
    }
    Ok(vec![(Part::Timex, vec![row])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_with_summer_time_has_the_offset_and_the_name_of_the_season() {
        let berlin = TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(offset_at(&berlin, 1_752_000_000), (7200, "CEST".to_owned()));
        assert_eq!(offset_at(&berlin, 1_736_000_000), (3600, "CET".to_owned()));
        assert_eq!(offset_at(&TimeZone::utc(), 1_736_000_000), (0, "UTC".to_owned()));
    }
}
