//! Stamps the extension with a digest of the sources it was built from, so that a stale build can be named.
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn main() {
    let mut files = vec![PathBuf::from("Cargo.toml"), PathBuf::from("Cargo.lock")];
    rust_files(Path::new("rust"), &mut files);
    files.sort();
    let mut digest = Sha256::new();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        digest.update(file.to_string_lossy().as_bytes());
        digest.update([0]);
        digest.update(std::fs::read(file).unwrap_or_default());
        digest.update([0]);
    }
    println!("cargo:rerun-if-changed=rust");
    let hash: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=OCPPHUB_SOURCE_HASH={hash}");
    println!("cargo:rustc-env=OCPPHUB_BUILD={}", std::env::var("PROFILE").unwrap_or_default());
}
