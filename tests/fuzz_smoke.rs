//! Mutates the corpus of every fuzz target for a while, on stable Rust and without tools.
//!
//! `OCPPHUB_FUZZ_SECONDS` (default 3) is how long, `OCPPHUB_FUZZ_SEED` (default 1) where the mutator starts. A failure
//! prints the seed and the input; put the input into `tests/fuzz/regressions/<target>/` when mending it.
#![allow(clippy::panic, clippy::arithmetic_side_effects)]

mod fuzz;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use fuzz::mutate::{Random, mutated};
use fuzz::{TARGETS, Target, corpus};

/// Longest input: a frame of a busy link, and short enough for many of them.
const LONGEST: usize = 4096;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn run(name: &str, target: Target, seed: u64, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("fuzz target {name}, OCPPHUB_FUZZ_SEED={seed}, input:\n{}", input.escape_ascii());
        resume_unwind(panic);
    }
}

// req: J-262 J-278
#[test]
fn target_mutated_corpus_keeps_every_promise() {
    let seed = setting("OCPPHUB_FUZZ_SEED", 1);
    let budget = Duration::from_secs(setting("OCPPHUB_FUZZ_SECONDS", 3));
    let mut random = Random::new(seed);
    let corpora = TARGETS.map(|(name, target)| (name, target, corpus::seeds(name)));
    let (start, mut inputs) = (Instant::now(), 0_u64);
    while start.elapsed() < budget {
        // Frames are what an attacker sends: half of the inputs are theirs.
        let place = if random.below(2) == 0 { 0 } else { random.below(corpora.len()) };
        let Some((name, target, seeds)) = corpora.get(place) else { continue };
        let (first, other) = (random.pick(seeds), random.pick(seeds));
        run(name, *target, seed, &mutated(&mut random, first, other, LONGEST));
        inputs += 1;
    }
    println!("{inputs} inputs in {:?}", start.elapsed());
    assert!(inputs > 100, "only {inputs} inputs: the machine is too slow for the budget");
}
