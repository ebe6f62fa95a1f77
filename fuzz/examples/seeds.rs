//! Writes the seeds of every target to `fuzz/corpus/<target>/`, which is where `cargo fuzz` looks for them.

#[path = "../../tests/fuzz/mod.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for (target, _) in fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in fuzz::corpus::seeds(target).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:04}")), seed)?;
        }
    }
    Ok(())
}
