//! The certificates and keys of one control plane, as kubeadm would make them.
//!
//! In: a folder and the API server's names. Out: PEM files in the folder: two authorities (the cluster's and the front
//! proxy's, which must never be the same), a service-account key pair, a serving certificate, and kubeconfigs.
use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The one common name that `--requestheader-allowed-names` lets speak for users.
pub const FRONT_PROXY_CLIENT: &str = "front-proxy-client";

pub struct Pki {
    folder: PathBuf,
    cluster: Issuer<'static, KeyPair>,
    front_proxy: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM files.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pki {
    pub fn create(folder: &Path) -> Self {
        let cluster = authority(folder, "ca", "ringside-lab-ca");
        let front_proxy = authority(folder, "front-proxy-ca", "ringside-lab-front-proxy-ca");
        let service_accounts = KeyPair::generate().unwrap();
        fs::write(folder.join("sa.key"), service_accounts.serialize_pem()).unwrap();
        fs::write(folder.join("sa.pub"), service_accounts.public_key_pem()).unwrap();
        Self { folder: folder.to_owned(), cluster, front_proxy }
    }

    pub fn cluster_ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub fn cluster_ca_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    pub fn front_proxy_ca(&self) -> PathBuf {
        self.folder.join("front-proxy-ca.crt")
    }

    pub fn service_account_key(&self) -> PathBuf {
        self.folder.join("sa.key")
    }

    pub fn service_account_public_key(&self) -> PathBuf {
        self.folder.join("sa.pub")
    }

    /// A serving certificate of the cluster's authority for DNS names and addresses.
    pub fn server(&self, file: &str, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = name(file, None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.write(file, &params, &self.cluster)
    }

    /// A client certificate of the cluster's authority: a user, and a group that it is in.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Identity {
        self.write(file, &client_params(user, group), &self.cluster)
    }

    /// A client certificate of the front proxy's authority. Only the name [`FRONT_PROXY_CLIENT`] is allowed to forward.
    pub fn front_proxy_client(&self, file: &str, common_name: &str) -> Identity {
        self.write(file, &client_params(common_name, None), &self.front_proxy)
    }

    fn write(&self, file: &str, params: &CertificateParams, issuer: &Issuer<'static, KeyPair>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let identity = Identity {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        fs::write(&identity.certificate, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

/// A kubeconfig whose `user` is the given JSON, which is YAML too.
pub fn write_kubeconfig(file: &Path, server: &str, cluster_ca: &Path, user: &serde_json::Value) {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": { "server": server, "certificate-authority": cluster_ca } }],
        "users": [{ "name": "lab", "user": user }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
    });
    fs::write(file, serde_json::to_string_pretty(&config).unwrap()).unwrap();
}

fn client_params(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

fn authority(folder: &Path, file: &str, common_name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    fs::write(folder.join(format!("{file}.crt")), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    Issuer::new(params, key)
}
