//! `json-reader FILE ROUNDS`: nanoseconds per frame of ocpphub's scanner and of jiter, interleaved, medians, as JSON lines.
//!
//! FILE holds one frame per line: kind, action, id and frame, separated by tabs. Both readers prove that they accept it
//! before they are timed. No PyO3, no Python objects: the readers alone.

mod on_jiter;

use std::hint::black_box;
use std::time::Instant;

use ocpphub::action::{Action, Sender};
use ocpphub::frame::{Options, decode};

const OPTIONS: Options = Options { strict: false, from: Sender::Csms };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("FILE is missing")?;
    let rounds: usize = arguments.next().ok_or("ROUNDS is missing")?.parse()?;
    for line in std::fs::read_to_string(path)?.lines() {
        let [_, action, unique_id, text] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else {
            return Err("a line needs four columns".into());
        };
        let frame = text.as_bytes();
        let pending = (unique_id, Action::named(action.as_bytes()).ok_or("unknown action")?);
        let own = || decode(black_box(frame), OPTIONS, |id| (id == pending.0).then_some(pending.1)).is_ok();
        let jiter = || on_jiter::is_valid(black_box(frame), pending).is_some();
        assert!(own(), "ocpphub refuses {text}");
        assert!(jiter(), "the reader on jiter refuses {text}");
        let calls = (200_000 / frame.len()).max(1);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            first.push(nanoseconds(own, calls));
            second.push(nanoseconds(jiter, calls));
        }
        println!(
            "{{\"action\":\"{action}\",\"bytes\":{},\"own\":{:.1},\"jiter\":{:.1}}}",
            frame.len(),
            median(first),
            median(second)
        );
    }
    Ok(())
}

fn nanoseconds(read: impl Fn() -> bool, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(read());
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
