//! Paths as they were seen on real nodes, and forged ones. In: a table. Out: facts about [`super::identify`].

use super::*;
use CgroupKind::{Container, Other, Pod, Qos, Root, Scope, Service, Slice};
use QosClass::{BestEffort, Burstable, Guaranteed};

/// Short for a container ID in the table: `A` stands for 64 times `a`.
fn expand(text: &str) -> String {
    text.replace("<A>", &"a".repeat(64))
        .replace("<B>", &"b1".repeat(32))
        .replace("<U>", "0d5a1f7e-6a3c-4d51-9d5e-0f6a2b7c8d9e")
        .replace("<_>", "0d5a1f7e_6a3c_4d51_9d5e_0f6a2b7c8d9e")
        .replace("<S>", "5f2c1d7b9a3e4f60817263544536a7b8")
}

struct Expected {
    kind: CgroupKind,
    runtime: Option<Runtime>,
    id: &'static str,
    pod: &'static str,
    qos: Option<QosClass>,
    outer: &'static str,
}

const NOBODY: Expected = Expected { kind: Other, runtime: None, id: "", pod: "", qos: None, outer: "" };

fn plain(kind: CgroupKind) -> Expected {
    Expected { kind, ..NOBODY }
}

fn container(runtime: Option<Runtime>, id: &'static str) -> Expected {
    Expected { kind: Container, runtime, id, ..NOBODY }
}

fn pod(pod: &'static str, qos: QosClass) -> Expected {
    Expected { kind: Pod, pod, qos: Some(qos), ..NOBODY }
}

fn of_pod(runtime: Option<Runtime>, id: &'static str, pod: &'static str, qos: QosClass) -> Expected {
    Expected { kind: Container, runtime, id, pod, qos: Some(qos), ..NOBODY }
}

fn inside(outer: &'static str, expected: Expected) -> Expected {
    Expected { outer, ..expected }
}

fn qos(qos: Option<QosClass>) -> Expected {
    Expected { kind: Qos, qos, ..NOBODY }
}

fn check(table: &[(&str, Expected)], nesting: Nesting) {
    for (path, expected) in table {
        let path = expand(path);
        let got = identify_on(path.trim_start_matches('/').as_bytes(), nesting);
        let id = expand(expected.id);
        let pod = expand(expected.pod);
        let outer = expand(expected.outer);
        assert_eq!(got.kind, expected.kind, "kind of {path}");
        assert_eq!(got.runtime, expected.runtime, "runtime of {path}");
        assert_eq!(got.container_id.as_deref().unwrap_or_default(), id, "container ID of {path}");
        assert_eq!(got.pod_uid.as_deref().unwrap_or_default(), pod, "pod UID of {path}");
        assert_eq!(got.qos, expected.qos, "class of {path}");
        assert_eq!(got.outer_container.as_deref().unwrap_or_default(), outer, "outer container of {path}");
        assert_eq!(&*got.path, path, "shown path");
    }
}

const DOCKER: Option<Runtime> = Some(Runtime::Docker);
const CONTAINERD: Option<Runtime> = Some(Runtime::Containerd);
const CRIO: Option<Runtime> = Some(Runtime::CriO);
const PODMAN: Option<Runtime> = Some(Runtime::Podman);

#[test]
fn kubernetes_paths_name_pod_class_and_container() {
    check(
        &[
            ("/", plain(Root)),
            ("/kubepods.slice", qos(None)),
            ("/kubepods.slice/kubepods-burstable.slice", qos(Some(Burstable))),
            ("/kubepods.slice/kubepods-besteffort.slice", qos(Some(BestEffort))),
            ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<_>.slice", pod("<U>", Burstable)),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<_>.slice/cri-containerd-<A>.scope",
                of_pod(CONTAINERD, "<A>", "<U>", Burstable),
            ),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<_>.slice/docker-<A>.scope",
                of_pod(DOCKER, "<A>", "<U>", BestEffort),
            ),
            ("/kubepods.slice/kubepods-pod<_>.slice", pod("<U>", Guaranteed)),
            ("/kubepods.slice/kubepods-pod<_>.slice/crio-<A>.scope", of_pod(CRIO, "<A>", "<U>", Guaranteed)),
            ("/kubepods.slice/kubepods-pod<_>.slice/crio-<A>.scope/container", inside("<A>", plain(Other))),
            (
                "/kubepods.slice/kubepods-pod<_>.slice/crio-conmon-<A>.scope",
                Expected { kind: Scope, pod: "<U>", qos: Some(Guaranteed), ..NOBODY },
            ),
            ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<S>.slice", pod("<S>", Burstable)),
            ("/kubepods", qos(None)),
            ("/kubepods/burstable", qos(Some(Burstable))),
            ("/kubepods/besteffort/pod<U>", pod("<U>", BestEffort)),
            ("/kubepods/burstable/pod<U>/<A>", of_pod(None, "<A>", "<U>", Burstable)),
            ("/kubepods/pod<U>/<A>", of_pod(None, "<A>", "<U>", Guaranteed)),
            ("/kubepods/burstable/pod<S>/<A>", of_pod(None, "<A>", "<S>", Burstable)),
            ("/kubepods/burstable/pod<U>/crio-<A>", of_pod(CRIO, "<A>", "<U>", Burstable)),
            (
                "/kubepods/burstable/pod<U>/crio-conmon-<A>",
                Expected { kind: Other, pod: "<U>", qos: Some(Burstable), ..NOBODY },
            ),
            ("/kubelet/kubepods/burstable/pod<U>/<A>", of_pod(None, "<A>", "<U>", Burstable)),
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod<_>.slice/cri-containerd-<A>.scope",
                of_pod(CONTAINERD, "<A>", "<U>", Burstable),
            ),
            ("/kubelet.slice/kubelet-kubepods.slice", qos(None)),
            ("/kubelet.slice/kubelet.service", plain(Service)),
            (
                "/system.slice/containerd.service/kubepods-burstable-pod<_>.slice:cri-containerd:<A>",
                of_pod(CONTAINERD, "<A>", "<U>", Burstable),
            ),
            ("/kubepods/burstable/pod<U>/<A>/init.scope", inside("<A>", plain(Scope))),
            ("/kubepods/burstable/pods", plain(Other)),
            ("/kubepods/kata_overhead/<A>", plain(Other)),
        ],
        Nesting::Refused,
    );
}

#[test]
fn containers_outside_of_kubernetes_are_known_by_their_runtime() {
    check(
        &[
            ("/docker", plain(Other)),
            ("/docker/<A>", container(DOCKER, "<A>")),
            ("/system.slice/docker-<A>.scope", container(DOCKER, "<A>")),
            ("/my.slice/docker-<A>.scope", container(DOCKER, "<A>")),
            ("/ecs/1f0c/<A>", container(None, "<A>")),
            ("/machine.slice/libpod-<A>.scope", container(PODMAN, "<A>")),
            ("/machine.slice/libpod-<A>.scope/container", inside("<A>", plain(Other))),
            ("/machine.slice/libpod-conmon-<A>.scope", plain(Scope)),
            ("/machine.slice/machine-libpod_pod_<A>.slice", plain(Slice)),
            ("/machine.slice/machine-libpod_pod_<A>.slice/libpod-<B>.scope", container(PODMAN, "<B>")),
            ("/libpod_parent/libpod-<A>", container(PODMAN, "<A>")),
            ("/libpod_parent/conmon", plain(Other)),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<A>.scope", container(PODMAN, "<A>")),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<A>.scope/container",
                inside("<A>", plain(Other)),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_<A>.slice/libpod-<B>.scope",
                container(PODMAN, "<B>"),
            ),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-<A>.scope", container(DOCKER, "<A>")),
            ("/system.slice/nerdctl-<A>.scope", container(CONTAINERD, "<A>")),
            ("/default/<A>", container(CONTAINERD, "<A>")),
            ("/default/redis", plain(Other)),
            ("/k8s.io/<A>", container(CONTAINERD, "<A>")),
            ("/k8s.io/probe-1", container(CONTAINERD, "probe-1")),
            ("/system.slice/runc-<A>.scope", container(None, "<A>")),
        ],
        Nesting::Believed,
    );
}

#[test]
fn systemd_units_keep_their_names() {
    check(
        &[
            ("/init.scope", plain(Scope)),
            ("/system.slice", plain(Slice)),
            ("/system.slice/ssh.service", plain(Service)),
            ("/system.slice/system-getty.slice/getty@tty1.service", plain(Service)),
            ("/system.slice/dev-disk-by\\x2duuid-1\\x2d2.swap", plain(Other)),
            ("/user.slice/user-0.slice/session-1.scope", plain(Scope)),
            ("/machine.slice/machine-web\\x2d1.scope", plain(Scope)),
            ("/system.slice/docker-short.scope", plain(Scope)),
            ("/lxc.payload.web", plain(Other)),
        ],
        Nesting::Refused,
    );
}

#[test]
fn in_a_node_that_is_a_container_the_inner_container_wins() {
    check(
        &[
            ("/docker/<A>/kubelet/kubepods/burstable/pod<U>/<B>", inside("<A>", of_pod(None, "<B>", "<U>", Burstable))),
            ("/docker/<A>/kubelet/kubepods", inside("<A>", qos(None))),
            ("/docker/<A>/kubelet", inside("<A>", plain(Other))),
            ("/docker/<A>/kubepods/besteffort/pod<U>/<B>", inside("<A>", of_pod(None, "<B>", "<U>", BestEffort))),
            (
                "/system.slice/docker-<A>.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod<_>.slice/cri-containerd-<B>.scope",
                inside("<A>", of_pod(CONTAINERD, "<B>", "<U>", BestEffort)),
            ),
            (
                "/docker/<A>/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<_>.slice/docker-<B>.scope",
                inside("<A>", of_pod(DOCKER, "<B>", "<U>", Burstable)),
            ),
            (
                "/machine.slice/libpod-<A>.scope/container/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<_>.slice/cri-containerd-<B>.scope",
                inside("<A>", of_pod(CONTAINERD, "<B>", "<U>", Guaranteed)),
            ),
            ("/docker/<A>/kubepods/besteffort/pod<U>/<B>/init", inside("<B>", plain(Other))),
            ("/docker/<A>/system.slice/containerd.service", inside("<A>", plain(Service))),
        ],
        Nesting::Believed,
    );
}

#[test]
fn forged_names_below_a_container_or_a_user_are_not_believed() {
    let forged: &[&str] = &[
        "/kubepods/burstable/pod<U>/<A>/kubepods/burstable/pod<S>",
        "/kubepods/burstable/pod<U>/<A>/kubelet/kubepods/burstable/pod<S>/<B>",
        "/docker/<A>/tmp/kubepods/burstable/pod<S>/<B>",
        "/docker/<A>/docker/<B>",
        "/docker/<A>/x/kubelet/kubepods/pod<S>",
    ];
    for path in forged {
        check(&[(path, inside("<A>", plain(Other)))], Nesting::Believed);
    }
    check(
        &[
            ("/docker/<A>/kubepods/burstable/pod<S>/<B>", inside("<A>", plain(Other))),
            ("/docker/<A>/cri-containerd-<B>.scope", inside("<A>", plain(Scope))),
            ("/kubepods/pod<U>/<A>/kubepods-burstable-pod<_>.slice", inside("<A>", plain(Slice))),
        ],
        Nesting::Refused,
    );
    check(
        &[
            ("/user.slice/user-1000.slice/user@1000.service/kubepods/burstable/pod<U>", plain(Other)),
            ("/user.slice/user-1000.slice/user@1000.service/kubepods-pod<_>.slice", plain(Slice)),
            ("/docker/<A>/kubepods/pod<U>/<B>/kubepods/pod<S>", inside("<B>", plain(Other))),
        ],
        Nesting::Believed,
    );
}

#[test]
fn hostile_names_are_shown_harmlessly() {
    for (name, shown) in [
        (b"a\x1b[31m".as_slice(), "/a\\x1b[31m"),
        (b"a\"b", "/a\\x22b"),
        (b"\xff\xfe", "/\\xff\\xfe"),
        ("h\u{e9}".as_bytes(), "/h\u{e9}"),
        ("\u{9b}31m".as_bytes(), "/\\xc2\\x9b31m"),
        ("\u{202e}x".as_bytes(), "/\\xe2\\x80\\xaex"),
        (b"a\\x2db", "/a\\x2db"),
        (b"a\\x1bb", "/a\\x5cx1bb"),
        (b"a\\b", "/a\\b"),
        (b"x/\t\r", "/x/\\x09\\x0d"),
        (b"", "/"),
    ] {
        assert_eq!(&*identify(name).path, shown);
    }
}

mod property {
    use super::*;
    use proptest::prelude::*;

    /// Reads a shown path back.
    fn unshow(shown: &str) -> Vec<u8> {
        let bytes = shown.as_bytes();
        let mut raw = Vec::new();
        let mut at = 1;
        while at < bytes.len() {
            if bytes[at] == b'\\' && looks_like_our_escape(bytes.get(at + 1..at + 4)) {
                raw.push(u8::from_str_radix(&shown[at + 2..at + 4], 16).unwrap());
                at += 4;
            } else {
                raw.push(bytes[at]);
                at += 1;
            }
        }
        raw
    }

    proptest! {
        #[test]
        fn two_names_never_look_alike(path in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'1')], 0..40)) {
            prop_assume!(path.first() != Some(&b'/'));
            prop_assert_eq!(unshow(&shown_path(&path)), path);
        }

        #[test]
        fn what_is_shown_holds_no_control_character(path in prop::collection::vec(any::<u8>(), 0..80)) {
            let identity = identify(&path);
            prop_assert!(!identity.path.chars().any(|c| c.is_control() || c == '"'));
        }
    }
}
