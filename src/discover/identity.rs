//! Who a cgroup is, by its path alone.
//!
//! In: a path below a hierarchy's root, as bytes. Out: [`CgroupIdentity`]. The shapes are those that kubelet (drivers
//! `systemd` and `cgroupfs`), containerd, CRI-O, Docker, cri-dockerd, Podman, nerdctl, kind, minikube and k3s make.
//! It is a pure function: it never opens anything and never fails; a path of no known shape is shown as it is.
//!
//! # What is believed
//!
//! Whoever may create directories below a container's or a user's own cgroup may give them any name, so a name is
//! worth what its parents are worth. Reading a path from the root:
//!
//! 1. The first component that is a container by its shape (`<runtime>-<64 hex>.scope`, `<64 hex>`, …) is a container.
//!    Whatever lies below it is *inside* it (`outer_container` is set) and is neither container nor pod, except by 2.
//! 2. A node in a container (kind, minikube, k3d): below a container that belongs to *no pod*, a Kubernetes root
//!    (`kubelet/kubepods`, `kubelet.slice/kubelet-kubepods.slice`, `kubepods`, `kubepods.slice`) right below the
//!    container, or right below crun's leaf `container`, begins a second reading. Its pods and containers are believed
//!    and keep `outer_container`, so that nobody adds them to the outer one or gives them the metadata of a pod of
//!    this node. There is no third reading.
//! 3. On a machine with a Kubernetes root of its own ([`Nesting::Refused`]) rule 2 is off: there a pod below a
//!    container is a forgery, or somebody's test cluster whose usage the outer container shows already.
//! 4. Below `user.slice` containers are believed (rootless Docker and Podman), pods never.
//! 5. A pod is believed only below a Kubernetes root: `…/kubepods[/qos]/pod<uid>`, or a slice that is named
//!    `[prefix-]kubepods[-qos]-pod<uid>.slice`.

use std::sync::Arc;

use super::{CgroupIdentity, CgroupKind, QosClass, Runtime};

/// Whether pods below a container are believed (rule 2) or not (rule 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// The machine has no Kubernetes root of its own: a container may be a node.
    Believed,
    /// The machine is itself a Kubernetes node.
    Refused,
}

/// Identifies a cgroup on a machine that is not itself a Kubernetes node, or where nobody looked.
#[must_use]
pub fn identify(path: &[u8]) -> CgroupIdentity {
    identify_on(path, Nesting::Believed)
}

/// Identifies a cgroup; `nesting` says whether a container may be a node.
#[must_use]
pub fn identify_on(path: &[u8], nesting: Nesting) -> CgroupIdentity {
    let mut reading = Reading::default();
    let mut outer: Option<Arc<str>> = None;
    let mut nested = false;
    let mut inside: Vec<&[u8]> = Vec::new();
    let mut last: &[u8] = b"";
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        last = name;
        if let Some(container) = &reading.container {
            if outer.is_some() {
                inside.push(name);
                continue;
            }
            // Everything from here on lies inside `container`; what it is follows from the names below it.
            outer = Some(Arc::clone(container));
            nested = nesting == Nesting::Believed && reading.pod.is_none() && !reading.below_user;
            inside.push(name);
            continue;
        }
        reading.step(name);
    }
    let mut identity = CgroupIdentity {
        path: shown_path(path),
        kind: reading.kind(last),
        runtime: reading.runtime,
        container_id: reading.container.clone(),
        pod_uid: reading.pod.clone(),
        qos: reading.qos(),
        outer_container: None,
    };
    if let Some(outer) = outer {
        let inner = if nested { read_node(&inside) } else { None };
        let inner = inner.unwrap_or_default();
        identity.kind = inner.kind(last);
        identity.runtime = inner.runtime;
        identity.container_id = if inner.below_container { None } else { inner.container.clone() };
        identity.pod_uid = inner.pod.clone();
        identity.qos = inner.qos();
        identity.outer_container = match &inner.container {
            Some(container) if inner.below_container => Some(Arc::clone(container)),
            _ => Some(outer),
        };
        if inner.below_container {
            identity.kind = plain_kind(last);
            identity.runtime = None;
            identity.pod_uid = None;
            identity.qos = None;
        }
    }
    identity
}

/// The second reading (rule 2): the names below a container, if a Kubernetes root comes first.
fn read_node(inside: &[&[u8]]) -> Option<Reading> {
    let mut names = inside;
    if let [b"container", rest @ ..] = names {
        names = rest;
    }
    let is_node = match names {
        [first, ..] if is_kubernetes_root(first) => true,
        [b"kubelet", second, ..] => *second == b"kubepods",
        [b"kubelet.slice", second, ..] => *second == b"kubelet-kubepods.slice",
        _ => false,
    };
    if !is_node {
        return None;
    }
    let mut reading = Reading::default();
    for name in names {
        if reading.container.is_some() {
            reading.below_container = true;
            break;
        }
        reading.step(name);
    }
    Some(reading)
}

/// True for a top-level directory that a kubelet makes for its pods.
#[must_use]
pub fn is_kubernetes_root(name: &[u8]) -> bool {
    name == b"kubepods" || name == b"kubepods.slice"
}

/// What is known after some components of a path.
#[derive(Default)]
struct Reading {
    below_user: bool,
    below_kubernetes: bool,
    below_container: bool,
    depth: usize,
    parent: Vec<u8>,
    class: Option<QosClass>,
    pod: Option<Arc<str>>,
    container: Option<Arc<str>>,
    runtime: Option<Runtime>,
    /// Kind of the last component, where its shape is Kubernetes'.
    kind: Option<CgroupKind>,
}

impl Reading {
    /// Reads one more component, which does not lie below a container.
    fn step(&mut self, name: &[u8]) {
        self.kind = None;
        if self.depth == 0 && name == b"user.slice" {
            self.below_user = true;
        }
        if !self.below_user {
            self.step_kubernetes(name);
        }
        if self.kind.is_none()
            && let Some((id, runtime)) = container_of(name, &self.parent, self.depth, self.pod.is_some())
        {
            self.container = Some(id);
            self.runtime = runtime;
            self.kind = Some(CgroupKind::Container);
        }
        self.depth += 1;
        self.parent.clear();
        self.parent.extend_from_slice(name);
    }

    /// Kubernetes' own directories: the root, the quality-of-service parents, pods.
    fn step_kubernetes(&mut self, name: &[u8]) {
        if self.pod.is_some() {
            return;
        }
        if let Some(slice) = KubernetesSlice::parse(name) {
            self.below_kubernetes = true;
            self.class = slice.class.or(self.class);
            match slice.pod {
                None => self.kind = Some(CgroupKind::Qos),
                Some(pod) => {
                    self.pod = Some(pod);
                    self.kind = Some(CgroupKind::Pod);
                    // A runtime that was told `systemd` paths while it makes plain directories names one directory
                    // `<pod slice>:<prefix>:<id>`: pod and container at once.
                    if let Some((id, runtime)) = slice.container {
                        self.container = Some(id);
                        self.runtime = runtime;
                        self.kind = Some(CgroupKind::Container);
                    }
                }
            }
            return;
        }
        if name == b"kubepods" {
            self.below_kubernetes = true;
            self.kind = Some(CgroupKind::Qos);
            return;
        }
        if !self.below_kubernetes {
            return;
        }
        if self.parent == b"kubepods" && (name == b"burstable" || name == b"besteffort") {
            self.class = Some(if name == b"burstable" { QosClass::Burstable } else { QosClass::BestEffort });
            self.kind = Some(CgroupKind::Qos);
        } else if let Some(uid) = name.strip_prefix(b"pod").and_then(pod_uid)
            && matches!(self.parent.as_slice(), b"kubepods" | b"burstable" | b"besteffort")
        {
            self.pod = Some(uid);
            self.kind = Some(CgroupKind::Pod);
        }
    }

    fn kind(&self, last: &[u8]) -> CgroupKind {
        if last.is_empty() {
            return CgroupKind::Root;
        }
        self.kind.unwrap_or_else(|| plain_kind(last))
    }

    fn qos(&self) -> Option<QosClass> {
        match (&self.pod, self.kind) {
            (Some(_), _) => Some(self.class.unwrap_or(QosClass::Guaranteed)),
            (None, Some(CgroupKind::Qos)) => self.class,
            _ => None,
        }
    }
}

/// A slice such as `kubelet-kubepods-burstable-pod<uid>.slice`, taken apart.
struct KubernetesSlice {
    class: Option<QosClass>,
    pod: Option<Arc<str>>,
    container: Option<(Arc<str>, Option<Runtime>)>,
}

impl KubernetesSlice {
    fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let (slice, container) = match name.split_once(".slice:") {
            Some((slice, rest)) => {
                let (prefix, id) = rest.split_once(':')?;
                (slice, Some((hex_id(id.as_bytes())?, runtime_of_prefix(prefix)?)))
            }
            None => (name.strip_suffix(".slice")?, None),
        };
        let at = if slice.starts_with("kubepods") { 0 } else { slice.find("-kubepods")? + 1 };
        let mut rest = slice.get(at..)?.strip_prefix("kubepods")?;
        let mut class = None;
        for (word, value) in [("-burstable", QosClass::Burstable), ("-besteffort", QosClass::BestEffort)] {
            if let Some(after) = rest.strip_prefix(word) {
                class = Some(value);
                rest = after;
                break;
            }
        }
        let pod = match rest {
            "" => None,
            _ => Some(pod_uid(rest.strip_prefix("-pod")?.replace('_', "-").as_bytes())?),
        };
        Some(Self { class, pod, container })
    }
}

/// The ID and runtime of a container's own directory.
fn container_of(name: &[u8], parent: &[u8], depth: usize, in_pod: bool) -> Option<(Arc<str>, Option<Runtime>)> {
    if let Some(scope) = name.strip_suffix(b".scope") {
        let at = scope.len().checked_sub(65)?;
        let id = hex_id(scope.get(at + 1..)?)?;
        let prefix = std::str::from_utf8(scope.get(..at)?).ok()?;
        if scope.get(at) != Some(&b'-') {
            return None;
        }
        return Some((id, runtime_of_prefix(prefix)?));
    }
    for (prefix, runtime) in [(b"libpod-".as_slice(), Runtime::Podman), (b"crio-", Runtime::CriO)] {
        if let Some(id) = name.strip_prefix(prefix) {
            return Some((hex_id(id)?, Some(runtime)));
        }
    }
    if parent == b"k8s.io" && depth == 1 {
        let id = std::str::from_utf8(name).ok()?;
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        return (plain && id.len() <= 76).then(|| (Arc::from(id), Some(Runtime::Containerd)));
    }
    // Kata accounts for its virtual machine's overhead beside the container, under the same name.
    if parent == b"kata_overhead" {
        return None;
    }
    let id = hex_id(name)?;
    let runtime = match parent {
        b"docker" if !in_pod => Some(Runtime::Docker),
        b"default" if depth == 1 => Some(Runtime::Containerd),
        _ => None,
    };
    Some((id, runtime))
}

/// The runtime of a scope's prefix. `Some(None)` is a container of an unnamed runtime, `None` is no container.
#[expect(clippy::option_option, reason = "three answers: no container, a container, a container of a known runtime")]
fn runtime_of_prefix(prefix: &str) -> Option<Option<Runtime>> {
    match prefix {
        "docker" => Some(Some(Runtime::Docker)),
        "cri-containerd" | "nerdctl" | "containerd" => Some(Some(Runtime::Containerd)),
        "crio" => Some(Some(Runtime::CriO)),
        "libpod" => Some(Some(Runtime::Podman)),
        "runc" | "crun" | "kata" => Some(None),
        _ => None,
    }
}

/// A container ID as every runtime makes it: 64 lower-case hexadecimal digits.
fn hex_id(bytes: &[u8]) -> Option<Arc<str>> {
    let is_hex = bytes.len() == 64 && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex { std::str::from_utf8(bytes).ok().map(Arc::from) } else { None }
}

/// A pod UID: a UUID, or a static pod's hash; other spellings are taken as long as they are plain.
fn pod_uid(bytes: &[u8]) -> Option<Arc<str>> {
    let plain = (8..=64).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && bytes.iter().any(u8::is_ascii_digit);
    if plain { std::str::from_utf8(bytes).ok().map(Arc::from) } else { None }
}

/// Kind of a directory that is neither container nor Kubernetes'.
fn plain_kind(name: &[u8]) -> CgroupKind {
    if name.ends_with(b".service") {
        CgroupKind::Service
    } else if name.ends_with(b".slice") {
        CgroupKind::Slice
    } else if name.ends_with(b".scope") {
        CgroupKind::Scope
    } else {
        CgroupKind::Other
    }
}

/// The path as it is shown: with a leading `/`, and every byte that is not harmless text as `\xNN`.
///
/// Control characters, quotes, directional marks and invalid UTF-8 are escaped. systemd's own `\x2d` stays as it is; a
/// backslash is escaped (`\x5c`) only where it would look like one of our escapes, so that two names never look alike.
#[must_use]
pub fn shown_path(path: &[u8]) -> Arc<str> {
    use std::fmt::Write as _;
    let mut shown = String::with_capacity(path.len() + 1);
    shown.push('/');
    let mut rest = path.strip_prefix(b"/").unwrap_or(path);
    while !rest.is_empty() {
        let chunk = rest.utf8_chunks().next();
        let (valid, invalid) = chunk.map_or(("", rest), |chunk| (chunk.valid(), chunk.invalid()));
        for (at, character) in valid.char_indices() {
            let ambiguous = character == '\\' && looks_like_our_escape(valid.as_bytes().get(at + 1..at + 4));
            if ambiguous || must_be_escaped(character) {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(shown, "\\x{byte:02x}");
                }
            } else {
                shown.push(character);
            }
        }
        for byte in invalid {
            let _ = write!(shown, "\\x{byte:02x}");
        }
        rest = rest.get(valid.len() + invalid.len()..).unwrap_or_default();
    }
    Arc::from(shown)
}

fn must_be_escaped(character: char) -> bool {
    character.is_control()
        || matches!(character, '"' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn looks_like_our_escape(after: Option<&[u8]>) -> bool {
    let Some([b'x', high, low]) = after else { return false };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => {
            let byte = high * 16 + low;
            !(0x20..0x7f).contains(&byte) || byte == 0x22 || byte == 0x5c
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
