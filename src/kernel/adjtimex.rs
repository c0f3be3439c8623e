//! adjtimex(2): how the kernel disciplines its clock.
//!
//! In: nothing. Out: one struct, in the kernel's units. Source: `include/uapi/linux/timex.h`, adjtimex(2). It asks and
//! never sets: `modes` is 0, which takes no permission. Next: the details of the node in `sample/`.

use crate::units::ErrorClass;

/// What the kernel says of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timex {
    /// The call's result is not `TIME_ERROR`: the clock is synchronised.
    pub synchronised: bool,
    /// `offset` between the clock and its reference; ns, gauge.
    pub offset_nanos: i64,
    /// `freq`: correction of the clock's frequency; parts per million, times 65536.
    pub frequency_ppm_65536ths: i64,
    /// `maxerror`; µs, gauge.
    pub max_error_usec: i64,
    /// `esterror`; µs, gauge.
    pub estimated_error_usec: i64,
    /// `status`: bits.
    pub status: i64,
    /// `constant` of the phase-locked loop.
    pub constant: i64,
    /// `tick`; µs.
    pub tick_usec: i64,
    /// `ppsfreq`; parts per million, times 65536.
    pub pps_frequency_ppm_65536ths: i64,
    /// `jitter` of the pulse per second; ns, gauge.
    pub pps_jitter_nanos: i64,
    /// `shift`: length of a calibration interval; s.
    pub pps_shift_seconds: i64,
    /// `stabil`; parts per million, times 65536.
    pub pps_stability_ppm_65536ths: i64,
    /// `jitcnt`; counter.
    pub pps_jitter_exceeded: i64,
    /// `calcnt`; counter.
    pub pps_calibrations: i64,
    /// `errcnt`; counter.
    pub pps_errors: i64,
    /// `stbcnt`; counter.
    pub pps_stability_exceeded: i64,
    /// `tai`: TAI's offset from UTC; s.
    pub tai_offset_seconds: i64,
}

/// Asks the kernel.
///
/// # Errors
/// The class of the error: `Denied` in a sandbox that forbids the call.
pub fn read_timex() -> Result<Timex, ErrorClass> {
    #[expect(unsafe_code, reason = "no library offers the call; the struct is plain integers, for which zero is valid")]
    // SAFETY: all fields are integers or arrays of them, so that zero bytes are a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    #[expect(unsafe_code, reason = "no library offers the call")]
    // SAFETY: the pointer is to a whole `timex` that lives over the call, and the kernel writes nothing else.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        return Err(errno.map_or(ErrorClass::Other, ErrorClass::of));
    }
    // With STA_NANO the two are in nanoseconds, without in microseconds.
    let nanos = |value: i64| if timex.status & libc::STA_NANO == 0 { value.saturating_mul(1000) } else { value };
    Ok(Timex {
        synchronised: state != libc::TIME_ERROR,
        offset_nanos: nanos(timex.offset),
        frequency_ppm_65536ths: timex.freq,
        max_error_usec: timex.maxerror,
        estimated_error_usec: timex.esterror,
        status: i64::from(timex.status),
        constant: timex.constant,
        tick_usec: timex.tick,
        pps_frequency_ppm_65536ths: timex.ppsfreq,
        pps_jitter_nanos: nanos(timex.jitter),
        pps_shift_seconds: i64::from(timex.shift),
        pps_stability_ppm_65536ths: timex.stabil,
        pps_jitter_exceeded: timex.jitcnt,
        pps_calibrations: timex.calcnt,
        pps_errors: timex.errcnt,
        pps_stability_exceeded: timex.stbcnt,
        tai_offset_seconds: i64::from(timex.tai),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_clock_ticks_a_hundred_times_a_second_or_nearly() {
        let timex = read_timex().unwrap();
        assert!((9_000..=11_000).contains(&timex.tick_usec), "{timex:?}");
        assert!(timex.max_error_usec >= 0 && timex.status >= 0, "{timex:?}");
    }
}
