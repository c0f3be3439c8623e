//! The parsers of kernel texts with names and paths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringside_fuzz::complete;
use ringside_fuzz::kernel::proc::*;
use ringside_fuzz::kernel::sys_dev_block::{DeviceNumber, device_name_of_link};

fuzz_target!(|bytes: &[u8]| {
    assert!(parse_pid_cgroup(bytes).eq(parse_pid_cgroup(complete(bytes))));
    let _ = device_name_of_link(bytes);
    if let Some(device) = DeviceNumber::parse(bytes) {
        assert_eq!(DeviceNumber::parse(device.to_string().as_bytes()), Some(device));
    }
});
