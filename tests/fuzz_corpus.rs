//! Every seed and every past failure of every fuzz target, once, unchanged (reliability.md 6.1: corpora are committed).

mod fuzz;

use fuzz::{TARGETS, corpus, decode, generate::frames, mutate::Random};

// req: J-262 J-272 J-278
#[test]
fn target_seed_of_its_corpus_keeps_every_promise() {
    for (name, target) in TARGETS {
        for seed in corpus::seeds(name) {
            target(&seed);
        }
    }
}

// req: J-255 J-256
#[test]
fn decode_frame_drawn_from_the_action_table_is_accepted() {
    use ocpphub::action::{Action, Sender};
    use ocpphub::frame::{Options, decode as decode_frame};

    for seed in 0..50 {
        for frame in frames(&mut Random::new(seed)) {
            let text = String::from_utf8_lossy(&frame);
            let named = |id: &str| Action::named(id.trim_end_matches("-1").as_bytes());
            let taken = [Sender::Csms, Sender::ChargePoint]
                .iter()
                .filter(|from| decode_frame(&frame, Options { strict: true, from: **from }, named).is_ok())
                .count();
            assert!(taken > 0, "{text}");
            decode::decode(&frame);
        }
    }
}
