//! The image of the program under test.
//!
//! In: the binary that cargo built, and the libraries that it names. Out: an image that the node's containerd knows.
use std::fs;

use super::super::agent::BINARY;
use super::super::guest::copy_libraries;
use super::Cluster;

impl Cluster {
    /// Makes an image with `/ringside` as its entry point, and nothing else but the libraries it needs: no shell, and no
    /// user names. Give it the name that the manifests use, in full:
    /// theirs of `ringside:0.1.0` is `docker.io/library/ringside:0.1.0`. A tag other than `latest` is not pulled again.
    pub fn import_ringside(&self, image: &str) {
        let rootfs = self.folder().join("ringside-rootfs");
        for folder in ["dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(folder)).unwrap();
        }
        fs::copy(BINARY, rootfs.join("ringside")).unwrap();
        copy_libraries(BINARY, &rootfs);
        self.containerd().import_image(image, &rootfs, &["/ringside"]);
    }
}
