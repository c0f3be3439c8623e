//! The highest values since the last scrape, as scrapers see them.

#[cfg(test)]
mod shown;
mod strict_parser;
mod synthetic;

#[cfg(test)]
mod facts {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use ringside::sample::NodeSample;
    use ringside::sample::catalogue::{CgroupColumn as C, DeviceColumn, InterfaceColumn, Table};
    use ringside::units::MonotonicNanos;
    use ringside::view::prometheus::maxima::{ACTIVE_FOR, MAX_SCRAPERS, Tracker};
    use ringside::view::prometheus::{Format, Labels, Scraper};

    use crate::shown::{one, text_with};
    use crate::strict_parser::parse;
    use crate::synthetic::{Maker, pod_container};

    fn busy(tick: u64, usec: u64, received: u64) -> NodeSample {
        let mut maker = Maker::new(tick);
        let container = pod_container(1, 1);
        let id = maker.add(Table::Cgroup, &container.identity.path, |subject, row| {
            subject.workload = Some(Arc::new(container.clone()));
            row.put(C::CpuUsageUsec, Some(usec));
            row.put(C::CpuNrPeriods, Some(tick * 10));
            row.put(C::CpuNrThrottled, Some(tick * 4));
        });
        for interface in ["eth0", "eth1", "lo"] {
            maker.add(Table::Interface, interface, |subject, row| {
                subject.owner = Some(id);
                subject.workload = Some(Arc::new(container.clone()));
                row.put(InterfaceColumn::RxBytes, Some(received));
                row.read_at = MonotonicNanos(tick * 2_000_000_000);
            });
        }
        maker.add(Table::Device, "sda", |subject, row| {
            subject.owner = Some(id);
            row.put(DeviceColumn::Wbytes, Some(tick * 4096));
        });
        maker.finish()
    }

    fn cores(tracker: &Tracker, sample: &NodeSample, now: Instant) -> Option<String> {
        let text = text_with(sample, Labels::Slim, Format::Text, &tracker.maxima(now));
        one(&parse(&text, false).unwrap(), "ringside_container_cpu_usage_cores_max", &[]).map(str::to_owned)
    }

    fn scraper(agent: &str) -> Scraper {
        Scraper::new([127, 0, 0, 1].into(), agent)
    }

    #[test]
    fn a_burst_is_shown_to_every_scraper_and_then_forgotten() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        for (tick, usec) in [(1, 0), (2, 100_000)] {
            tracker.observe(&busy(tick, usec, 0));
        }
        tracker.scraped(&scraper("a"), 2, now);
        tracker.scraped(&scraper("b"), 2, now);
        tracker.observe(&busy(3, 2_100_000, 0));
        let quiet = busy(4, 2_200_000, 0);
        tracker.observe(&quiet);
        assert_eq!(cores(&tracker, &quiet, now).as_deref(), Some("2.0"), "a is shown the burst");
        tracker.scraped(&scraper("a"), 4, now);
        let quiet = busy(5, 2_300_000, 0);
        tracker.observe(&quiet);
        assert_eq!(cores(&tracker, &quiet, now).as_deref(), Some("2.0"), "b is still shown it");
        tracker.scraped(&scraper("b"), 5, now);
        let quiet = busy(6, 2_400_000, 0);
        tracker.observe(&quiet);
        assert_eq!(cores(&tracker, &quiet, now).as_deref(), Some("0.1"), "both have seen it");
    }

    #[test]
    fn a_scrape_of_an_older_tick_does_not_forget_what_came_after_it() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.observe(&busy(1, 0, 0));
        tracker.observe(&busy(2, 0, 0));
        tracker.observe(&busy(3, 3_000_000, 0));
        tracker.scraped(&scraper("a"), 2, now);
        let quiet = busy(4, 3_000_000, 0);
        tracker.observe(&quiet);
        assert_eq!(cores(&tracker, &quiet, now).as_deref(), Some("3.0"));
    }

    #[test]
    fn a_scraper_that_stays_away_no_longer_holds_the_maximum() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.observe(&busy(1, 0, 0));
        tracker.scraped(&scraper("gone"), 1, now);
        tracker.observe(&busy(2, 3_000_000, 0));
        let quiet = busy(3, 3_000_000, 0);
        tracker.observe(&quiet);
        assert_eq!(cores(&tracker, &quiet, now).as_deref(), Some("3.0"));
        let later = now + ACTIVE_FOR + Duration::from_secs(1);
        assert_eq!(cores(&tracker, &quiet, later).as_deref(), Some("0.0"));
        assert_eq!(tracker.active(later), 0);
    }

    #[test]
    fn a_counter_that_went_back_gives_no_rate_that_tick() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.observe(&busy(1, 5_000_000, 0));
        let back = busy(2, 1_000_000, 0);
        tracker.observe(&back);
        assert_eq!(cores(&tracker, &back, now), None);
        let on = busy(3, 1_500_000, 0);
        tracker.observe(&on);
        assert_eq!(cores(&tracker, &on, now).as_deref(), Some("0.5"));
        let absurd = busy(4, u64::MAX / 2, 0);
        tracker.observe(&absurd);
        assert_eq!(cores(&tracker, &absurd, now), None);
    }

    #[test]
    fn traffic_is_summed_over_interfaces_by_the_time_at_which_they_were_read() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.observe(&busy(1, 0, 0));
        let sample = busy(2, 0, 1000);
        tracker.observe(&sample);
        let text = text_with(&sample, Labels::Slim, Format::Text, &tracker.maxima(now));
        let parsed = parse(&text, false).unwrap();
        // Two interfaces, 1000 bytes each in the two seconds between their readings; lo does not count.
        assert_eq!(one(&parsed, "ringside_container_network_receive_bytes_per_second_max", &[]), Some("1000.0"));
        assert_eq!(one(&parsed, "ringside_container_fs_writes_bytes_per_second_max", &[]), Some("4096.0"));
        assert_eq!(one(&parsed, "ringside_container_cpu_throttled_ratio_max", &[]), Some("0.4"));
    }

    #[test]
    fn no_more_scrapers_than_the_cap_have_windows() {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        tracker.observe(&busy(1, 0, 0));
        for number in 0..MAX_SCRAPERS + 3 {
            tracker.scraped(&scraper(&number.to_string()), 1, now);
        }
        assert_eq!(tracker.active(now), MAX_SCRAPERS);
        assert_eq!(tracker.untracked(), 3);
    }
}
