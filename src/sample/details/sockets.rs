//! The sets `tcp`, `udp` and `advtcp`: sockets and TCP counters, once per network namespace.
//!
//! In: the cgroups that network namespaces are shown under, and a process of each. Out: [`SocketStates`] and
//! [`TcpCounters`]. Sockets are asked for by netlink inside the namespace; who may not enter it reads them as text, up to a
//! size. Next: [`Sets`](super::Sets).

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::target::{Files, process_folder};
use crate::kernel::process::{TextSockets, net_counters, parse_tcp, parse_udp};
use crate::kernel::sock_diag::{Family, Protocol, SockDiag};
use crate::kernel::{KernelDir, ReadBuffer, Records};
use crate::units::ErrorClass;

/// Most sockets of one kind of one namespace that are listed.
const MOST_SOCKETS: u64 = 500_000;

/// How the kernel numbers the states that have a name here, from 1; 12 is a request that is not accepted yet.
const STATES: usize = 12;
const SYN_RECV: usize = 3;
const NEW_SYN_RECV: usize = 12;

/// cAdvisor's names of the TCP states, in the kernel's order from 1.
pub const TCP_STATES: [&str; 11] = [
    "established",
    "synsent",
    "synrecv",
    "finwait1",
    "finwait2",
    "timewait",
    "close",
    "closewait",
    "lastack",
    "listen",
    "closing",
];

/// TCP sockets by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpStates {
    counts: [u64; STATES + 1],
}

impl TcpStates {
    fn add(&mut self, state: u8) {
        let state = if usize::from(state) == NEW_SYN_RECV { SYN_RECV } else { usize::from(state) };
        if let Some(count) = self.counts.get_mut(state) {
            *count = count.saturating_add(1);
        }
    }

    /// Each state's name and how many sockets are in it.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TCP_STATES.into_iter().zip(self.counts.into_iter().skip(1))
    }
}

/// UDP sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpSums {
    /// Sockets; gauge. cAdvisor calls it `listen`.
    pub sockets: u64,
    /// Datagrams dropped by the sockets that are there now.
    pub drops: u64,
    /// Bytes that wait to be read; gauge.
    pub receive_queue_bytes: u64,
    /// Bytes that wait to be sent; gauge.
    pub send_queue_bytes: u64,
}

impl UdpSums {
    fn add(&mut self, drops: u64, receive: u64, send: u64) {
        self.sockets = self.sockets.saturating_add(1);
        self.drops = self.drops.saturating_add(drops);
        self.receive_queue_bytes = self.receive_queue_bytes.saturating_add(receive);
        self.send_queue_bytes = self.send_queue_bytes.saturating_add(send);
    }
}

/// Sockets of one network namespace; `None` where they could not be listed, or are not asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketStates {
    /// TCP over IPv4.
    pub tcp: Option<TcpStates>,
    /// TCP over IPv6.
    pub tcp6: Option<TcpStates>,
    /// UDP over IPv4.
    pub udp: Option<UdpSums>,
    /// UDP over IPv6.
    pub udp6: Option<UdpSums>,
}

/// The kernel's TCP counters that cAdvisor shows, by cAdvisor's names (the kernel's in small letters), sorted.
pub const TCP_COUNTERS: [&str; 99] = [
    "activeopens",
    "attemptfails",
    "currestab",
    "delayedacklocked",
    "delayedacklost",
    "delayedacks",
    "embryonicrsts",
    "estabresets",
    "incsumerrors",
    "inerrs",
    "insegs",
    "ipreversepathfilter",
    "listendrops",
    "listenoverflows",
    "lockdroppedicmps",
    "maxconn",
    "ofopruned",
    "outofwindowicmps",
    "outrsts",
    "outsegs",
    "passiveopens",
    "pawsactive",
    "pawsestab",
    "pfmemallocdrop",
    "prunecalled",
    "rcvpruned",
    "retranssegs",
    "rtoalgorithm",
    "rtomax",
    "rtomin",
    "syncookiesfailed",
    "syncookiesrecv",
    "syncookiessent",
    "tcpabortfailed",
    "tcpabortonclose",
    "tcpabortondata",
    "tcpabortonlinger",
    "tcpabortonmemory",
    "tcpabortontimeout",
    "tcpbacklogdrop",
    "tcpdeferacceptdrop",
    "tcpdsackignorednoundo",
    "tcpdsackignoredold",
    "tcpdsackoforecv",
    "tcpdsackofosent",
    "tcpdsackoldsent",
    "tcpdsackrecv",
    "tcpdsackundo",
    "tcpfackreorder",
    "tcpfastopenactive",
    "tcpfastopenactivefail",
    "tcpfastopencookiereqd",
    "tcpfastopenlistenoverflow",
    "tcpfastopenpassive",
    "tcpfastopenpassivefail",
    "tcpfastretrans",
    "tcpfullundo",
    "tcphpacks",
    "tcphphits",
    "tcplossfailures",
    "tcplossproberecovery",
    "tcplossprobes",
    "tcplossundo",
    "tcplostretransmit",
    "tcpmd5failure",
    "tcpmd5notfound",
    "tcpmd5unexpected",
    "tcpmemorypressures",
    "tcpmemorypressureschrono",
    "tcpminttldrop",
    "tcporigdatasent",
    "tcppartialundo",
    "tcppureacks",
    "tcprcvcollapsed",
    "tcprenofailures",
    "tcprenorecovery",
    "tcprenorecoveryfail",
    "tcprenoreorder",
    "tcpreqqfulldocookies",
    "tcpreqqfulldrop",
    "tcpretransfail",
    "tcpsackdiscard",
    "tcpsackfailures",
    "tcpsackmerged",
    "tcpsackrecovery",
    "tcpsackrecoveryfail",
    "tcpsackreneging",
    "tcpsackreorder",
    "tcpsackshifted",
    "tcpsackshiftfallback",
    "tcpslowstartretrans",
    "tcpspuriousrtos",
    "tcpsynretrans",
    "tcptimeouts",
    "tcptimewaitoverflow",
    "tcptsreorder",
    "tw",
    "twkilled",
    "twrecycled",
];

/// TCP counters of one network namespace, as the places of their names in [`TCP_COUNTERS`] and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpCounters {
    values: Vec<(u8, u64)>,
}

impl TcpCounters {
    /// Each counter's name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.values.iter().filter_map(|(place, value)| Some((*TCP_COUNTERS.get(usize::from(*place))?, *value)))
    }

    fn take(&mut self, bytes: &[u8], protocol: &[u8]) {
        let mut small = Vec::with_capacity(32);
        for (name, value) in net_counters(bytes, protocol) {
            small.clear();
            small.extend(name.iter().map(u8::to_ascii_lowercase));
            let place = TCP_COUNTERS.binary_search_by(|known| known.as_bytes().cmp(small.as_slice()));
            if let (Ok(place), Some(value)) = (place.map(u8::try_from), value)
                && let Ok(place) = place
                && !self.values.iter().any(|(known, _)| *known == place)
            {
                self.values.push((place, value));
            }
        }
    }
}

/// A process's namespace, held by the process's folder, which does not hold the namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    folder: KernelDir,
    /// Tells it from others; asked without a permission.
    pub inode: u64,
}

impl Namespace {
    pub fn of(proc: &KernelDir, pid: u32) -> Result<Self, ErrorClass> {
        let folder = process_folder(proc, pid)?;
        let inode = folder.open_file_below(c"net/dev", Records::Many)?.inode()?;
        Ok(Self { folder, inode })
    }

    /// TCP counters; `None` when they cannot be read.
    pub fn counters(&self, files: &mut Files) -> Option<TcpCounters> {
        let mut counters = TcpCounters::default();
        for (name, protocol) in [(c"net/snmp", &b"Tcp:"[..]), (c"net/netstat", b"TcpExt:")] {
            match self.read(name, &mut files.buffer) {
                Ok(bytes) => counters.take(bytes, protocol),
                Err(class) => {
                    files.leave_out_for("advtcp", class);
                    return None;
                }
            }
        }
        Some(counters)
    }

    /// Sockets of the sets that are asked for.
    pub fn sockets(&self, tcp: bool, udp: bool, files: &mut Files) -> SocketStates {
        let mut states = SocketStates::default();
        let diag = self.enter();
        for (wanted, set, family, protocol, name) in [
            (tcp, "tcp", Family::V4, Protocol::Tcp, c"net/tcp"),
            (tcp, "tcp", Family::V6, Protocol::Tcp, c"net/tcp6"),
            (udp, "udp", Family::V4, Protocol::Udp, c"net/udp"),
            (udp, "udp", Family::V6, Protocol::Udp, c"net/udp6"),
        ] {
            if !wanted {
                continue;
            }
            let mut listed = Listed::default();
            let asked = match &diag {
                Ok(diag) => diag.list(family, protocol, MOST_SOCKETS, |socket| {
                    let drops = u64::from(socket.drops.unwrap_or(0));
                    listed.add(socket.state, drops, u64::from(socket.receive_queue), u64::from(socket.send_queue));
                }),
                Err(class) => Err(*class),
            };
            let done = match asked {
                Ok(_) => Ok(()),
                // The text would be longer still.
                Err(ErrorClass::Exhausted) => Err(ErrorClass::Exhausted),
                Err(_) => {
                    listed = Listed::default();
                    self.as_text(name, protocol, &mut listed, &mut files.buffer)
                }
            };
            match (done, family, protocol) {
                (Ok(()), Family::V4, Protocol::Tcp) => states.tcp = Some(listed.tcp),
                (Ok(()), Family::V6, Protocol::Tcp) => states.tcp6 = Some(listed.tcp),
                (Ok(()), Family::V4, Protocol::Udp) => states.udp = Some(listed.udp),
                (Ok(()), Family::V6, Protocol::Udp) => states.udp6 = Some(listed.udp),
                (Err(class), ..) => files.leave_out_for(set, class),
            }
        }
        states
    }

    fn enter(&self) -> Result<SockDiag, ErrorClass> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace =
            rustix::fs::openat(&self.folder, Path::new("ns/net"), flags, Mode::empty()).map_err(ErrorClass::of)?;
        SockDiag::open_in(namespace.as_fd())
    }

    fn as_text(
        &self,
        name: &CStr,
        protocol: Protocol,
        listed: &mut Listed,
        buffer: &mut ReadBuffer,
    ) -> Result<(), ErrorClass> {
        let bytes = self.read(name, buffer)?;
        let mut sockets: TextSockets<'_> = match protocol {
            Protocol::Tcp => parse_tcp(bytes),
            Protocol::Udp => parse_udp(bytes),
        };
        for socket in sockets.by_ref() {
            let socket = socket.ok_or(ErrorClass::Malformed)?;
            listed.add(socket.state, socket.drops, socket.receive_queue_bytes, socket.send_queue_bytes);
        }
        if sockets.is_torn() { Err(ErrorClass::Malformed) } else { Ok(()) }
    }

    fn read<'b>(&self, name: &CStr, buffer: &'b mut ReadBuffer) -> Result<&'b [u8], ErrorClass> {
        self.folder.open_file_below(name, Records::Many)?.read_into(buffer)
    }
}

/// Both sums; the protocol says which of them is meant.
#[derive(Debug, Default)]
struct Listed {
    tcp: TcpStates,
    udp: UdpSums,
}

impl Listed {
    fn add(&mut self, state: u8, drops: u64, receive: u64, send: u64) {
        self.tcp.add(state);
        self.udp.add(drops, receive, send);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_not_accepted_yet_counts_as_synrecv() {
        let mut states = TcpStates::default();
        for state in [1, 1, 3, 12, 10, 0, 13, 255] {
            states.add(state);
        }
        let counts: Vec<_> = states.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("established", 2), ("synrecv", 2), ("listen", 1)]);
        assert_eq!(states.iter().count(), 11);
    }

    #[test]
    fn counters_are_found_by_cadvisors_names() {
        assert!(TCP_COUNTERS.is_sorted());
        let mut counters = TcpCounters::default();
        counters.take(b"Tcp: RtoMin MaxConn ActiveOpens\nTcp: 200 -1 42\n", b"Tcp:");
        counters.take(b"TcpExt: TCPTimeouts TCPBrandNew\nTcpExt: 7 8\n", b"TcpExt:");
        assert_eq!(counters.iter().collect::<Vec<_>>(), [("rtomin", 200), ("activeopens", 42), ("tcptimeouts", 7)]);
    }

    #[test]
    fn netlink_and_text_agree_about_this_process() {
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let proc = KernelDir::open_root(Path::new("/proc")).unwrap();
        let own = Namespace::of(&proc, std::process::id()).unwrap();
        let mut files = Files::new(KernelDir::open_root(Path::new("/proc")).unwrap(), Vec::new());
        let states = own.sockets(true, true, &mut files);
        assert!(states.tcp6.unwrap().iter().any(|(name, count)| name == "listen" && count > 0));
        assert!(states.udp.unwrap().sockets > 0);
        let mut text = Listed::default();
        own.as_text(c"net/udp", Protocol::Udp, &mut text, &mut files.buffer).unwrap();
        assert!(text.udp.sockets > 0);
        drop((listener, datagrams));
    }
}
