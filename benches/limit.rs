//! Minimal composite-schedule kernel (own code, std only): sweep over sorted breakpoints per connector,
//! connector 0 by heap k-way merge / sorted events / dense difference array.  Fixed-point limits (tenths), integer seconds.
//!   limit eval  <file> <horizon>
//!   limit bench <file> <horizon> <what> <reps>
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, Write};
use std::time::Instant;

// ---------------------------------------------------------------- tiny JSON
#[derive(Debug, Clone)]
enum J {
    Nul,
    Num(f64),
    Str(String),
    Arr(Vec<J>),
    Obj(Vec<(String, J)>),
    Bool(#[allow(dead_code)] bool),
}
impl J {
    fn get(&self, k: &str) -> Option<&J> {
        if let J::Obj(o) = self { o.iter().find(|(n, _)| n == k).map(|(_, v)| v) } else { None }
    }
    fn i(&self, k: &str) -> Option<i64> {
        match self.get(k) {
            Some(J::Num(x)) => Some(*x as i64),
            _ => None,
        }
    }
    fn s(&self, k: &str) -> Option<&str> {
        match self.get(k) {
            Some(J::Str(x)) => Some(x),
            _ => None,
        }
    }
    fn a(&self, k: &str) -> &[J] {
        match self.get(k) {
            Some(J::Arr(x)) => x,
            _ => &[],
        }
    }
}
fn parse(b: &[u8], p: &mut usize) -> J {
    while b[*p] == b' ' {
        *p += 1
    }
    match b[*p] {
        b'{' => {
            *p += 1;
            let mut o = vec![];
            while b[*p] != b'}' {
                if b[*p] == b',' {
                    *p += 1
                }
                let k = match parse(b, p) {
                    J::Str(s) => s,
                    _ => panic!(),
                };
                *p += 1;
                o.push((k, parse(b, p)))
            }
            *p += 1;
            J::Obj(o)
        }
        b'[' => {
            *p += 1;
            let mut a = vec![];
            while b[*p] != b']' {
                if b[*p] == b',' {
                    *p += 1
                }
                a.push(parse(b, p))
            }
            *p += 1;
            J::Arr(a)
        }
        b'"' => {
            let s = *p + 1;
            *p = s;
            while b[*p] != b'"' {
                *p += 1
            }
            let r = String::from_utf8_lossy(&b[s..*p]).into_owned();
            *p += 1;
            J::Str(r)
        }
        b'n' => {
            *p += 4;
            J::Nul
        }
        b't' => {
            *p += 4;
            J::Bool(true)
        }
        b'f' => {
            *p += 5;
            J::Bool(false)
        }
        _ => {
            let s = *p;
            while *p < b.len() && !b",]}".contains(&b[*p]) {
                *p += 1
            }
            J::Num(std::str::from_utf8(&b[s..*p]).unwrap().parse().unwrap())
        }
    }
}
fn unix(s: &str) -> i64 {
    // YYYY-MM-DDTHH:MM:SSZ
    let n = |a: usize, l: usize| s[a..a + l].parse::<i64>().unwrap();
    let (mut y, m, d) = (n(0, 4), n(5, 2), n(8, 2));
    if m <= 2 {
        y -= 1
    }
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let mp = (m + 9) % 12;
    let doy = (153 * mp + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    (era * 146097 + doe - 719468) * 86400 + n(11, 2) * 3600 + n(14, 2) * 60 + n(17, 2)
}

// ---------------------------------------------------------------- model (SoA period store)
const INF: i64 = i64::MAX / 4;
const NONE: i32 = i32::MIN; // no limit
#[derive(Clone, Copy, Default)]
struct Prof {
    anchor: i64,
    rec: i64,
    dur: i64,
    from: i64,
    to: i64,
    off: u32,
    len: u32,
    level: i32,
    watt: bool,
}
#[derive(Default)]
struct Model {
    now: i64,
    n: usize,
    starts: Vec<u32>,
    lims: Vec<i32>,
    ph: Vec<u8>, // all periods of all profiles
    prof: Vec<Prof>,
    tx: Vec<(u32, u32)>,
    txd: Vec<(u32, u32)>, // per connector: range in `prof`, highest level first
    cp: (u32, u32),
    default: i32,
}
impl Model {
    /// limit of profile p at time t (NONE if it does not cover t) and the first instant at which that may change
    #[inline(always)]
    fn at(&self, p: &Prof, t: i64) -> (i32, i64) {
        if t >= p.to {
            return (NONE, INF);
        }
        if t < p.from {
            return (NONE, p.from);
        }
        let mut e = t - p.anchor;
        if e < 0 && p.rec == 0 {
            return (NONE, p.anchor);
        }
        let base;
        if p.rec != 0 {
            e = e.rem_euclid(p.rec);
            base = t - e
        } else {
            base = p.anchor
        }
        if e >= p.dur {
            return (NONE, if p.rec != 0 { (base + p.rec).min(p.to) } else { INF });
        }
        let s = &self.starts[p.off as usize..(p.off + p.len) as usize];
        let i = s.partition_point(|&x| (x as i64) <= e);
        let nxt = if i < s.len() { base + s[i] as i64 } else { INF };
        let end = base + p.dur;
        let end = if p.rec != 0 { end.min(base + p.rec) } else { end };
        (self.lims[p.off as usize + i - 1], nxt.min(end).min(p.to))
    }
    /// prevailing profile of a stack (highest level that covers t), valid until
    #[inline(always)]
    fn stack(&self, r: (u32, u32), t: i64) -> (i32, i64) {
        let mut until = INF;
        for p in &self.prof[r.0 as usize..r.1 as usize] {
            let (l, u) = self.at(p, t);
            until = until.min(u);
            if l != NONE {
                return (l, until);
            }
        }
        (NONE, until)
    }
    /// sweep: tx over txdefault, before the station maximum; f(start, limit)
    #[inline(always)]
    fn sweep(&self, c: usize, now: i64, end: i64, mut f: impl FnMut(i64, i32)) {
        let mut t = now;
        let mut last = NONE - 0;
        let mut first = true;
        while t < end {
            let (mut l, mut u) = self.stack(self.tx[c], t);
            if l == NONE {
                let (l2, u2) = self.stack(self.txd[c], t);
                l = l2;
                u = u.min(u2)
            }
            if first || l != last {
                f(t, l);
                last = l;
                first = false
            }
            t = u;
        }
    }
    fn cp_segments(&self, now: i64, end: i64) -> Vec<(i64, i32)> {
        let mut v = vec![];
        let mut t = now;
        while t < end {
            let (l, u) = self.stack(self.cp, t);
            if v.last().map_or(true, |x: &(i64, i32)| x.1 != l) {
                v.push((t, l))
            }
            t = u
        }
        v
    }
}
#[derive(Default, Clone)]
struct Out {
    start: Vec<u32>,
    lim: Vec<i32>,
    off: Vec<u32>,
} // flat result for all connectors
/// merge the connector's own segments with the station maximum (two-pointer), write into out
#[inline(always)]
fn min_merge(pre: &[(i64, i32)], cp: &[(i64, i32)], now: i64, default: i32, out: &mut Out) {
    let (mut i, mut j) = (0, 0);
    let mut last = NONE;
    let base = out.start.len();
    loop {
        let a = pre[i].1;
        let b = if cp.is_empty() { NONE } else { cp[j].1 };
        let l = match (a == NONE, b == NONE) {
            (true, true) => default,
            (true, false) => b,
            (false, true) => a,
            _ => a.min(b),
        };
        let t = pre[i].0.max(if cp.is_empty() { now } else { cp[j].0 });
        if l != last || out.start.len() == base {
            out.start.push((t - now) as u32);
            out.lim.push(l);
            last = l
        }
        let na = if i + 1 < pre.len() { pre[i + 1].0 } else { INF };
        let nb = if j + 1 < cp.len() { cp[j + 1].0 } else { INF };
        if na == INF && nb == INF {
            break;
        }
        if na <= nb {
            i += 1
        }
        if nb <= na {
            j += 1
        }
    }
}
#[derive(Clone, Copy, PartialEq)]
struct Seg {
    t: i64,
    lim: i32,
    watt: bool,
    ph: u8,
    lvl: i8,
} // lim == NONE: no limit
#[derive(Clone, Copy, PartialEq)]
struct OutD {
    start: u32,
    lim: i32,
    ph: u8,
    lvl: i8,
    conv: bool,
}
#[inline(always)]
fn to_unit(lim: i32, watt: bool, ph: u8, want_w: bool) -> i32 {
    // tenths; numberPhases absent = 3; 230 V
    let f = 230 * if ph == 0 { 3 } else { ph as i32 };
    if watt == want_w {
        lim
    } else if want_w {
        lim.saturating_mul(f)
    } else {
        lim / f
    }
}
impl Model {
    #[inline(always)]
    fn at_d(&self, p: &Prof, t: i64) -> (Seg, i64) {
        let (l, u) = self.at(p, t);
        if l == NONE {
            return (Seg { t, lim: NONE, watt: false, ph: 0, lvl: 0 }, u);
        }
        let mut e = t - p.anchor;
        if p.rec != 0 {
            e = e.rem_euclid(p.rec)
        }
        let i = self.starts[p.off as usize..(p.off + p.len) as usize].partition_point(|&x| (x as i64) <= e);
        (Seg { t, lim: l, watt: p.watt, ph: self.ph[p.off as usize + i - 1], lvl: p.level as i8 }, u)
    }
    #[inline(always)]
    fn stack_d(&self, r: (u32, u32), t: i64) -> (Seg, i64) {
        let mut until = INF;
        for p in &self.prof[r.0 as usize..r.1 as usize] {
            let (s, u) = self.at_d(p, t);
            until = until.min(u);
            if s.lim != NONE {
                return (s, until);
            }
        }
        (Seg { t, lim: NONE, watt: false, ph: 0, lvl: 0 }, until)
    }
    #[inline(always)]
    fn sweep_d(&self, c: Option<usize>, now: i64, end: i64, out: &mut Vec<Seg>) {
        let mut t = now;
        let base = out.len();
        while t < end {
            let (mut s, mut u) = match c {
                Some(c) => self.stack_d(self.tx[c], t),
                None => self.stack_d(self.cp, t),
            };
            if s.lim == NONE {
                if let Some(c) = c {
                    let (s2, u2) = self.stack_d(self.txd[c], t);
                    s = s2;
                    u = u.min(u2)
                }
            }
            if out.len() == base || {
                let l = out[out.len() - 1];
                Seg { t: l.t, ..s } != l
            } {
                out.push(s)
            }
            t = u
        }
    }
}
/// the whole composite for all connectors (both units, phases, stack level) and connector 0; want_w = requested unit
fn all_full(
    m: &Model,
    now: i64,
    h: i64,
    want_w: bool,
    pre: &mut Vec<Seg>,
    out: &mut Vec<OutD>,
    off: &mut Vec<u32>,
    diff: &mut Vec<i64>,
    zero: &mut Vec<(u32, i64)>,
) {
    let end = now + h;
    let mut cp = vec![];
    m.sweep_d(None, now, end, &mut cp);
    let default = if want_w { 331200 } else { 480 };
    out.clear();
    off.clear();
    diff.clear();
    diff.resize(h as usize + 1, 0);
    for c in 0..m.n {
        off.push(out.len() as u32);
        pre.clear();
        m.sweep_d(Some(c), now, end, pre);
        let mut last = 0i64;
        for (i, s) in pre.iter().enumerate() {
            let v = if s.lim == NONE { default } else { to_unit(s.lim, s.watt, s.ph, want_w) } as i64;
            diff[if i == 0 { 0 } else { (s.t - now) as usize }] += v - last;
            last = v
        }
        let (mut i, mut j) = (0, 0);
        let base = out.len();
        loop {
            let a = pre[i];
            let b = cp[j];
            let ph = match (a.lim != NONE && a.ph != 0, b.lim != NONE && b.ph != 0) {
                (true, true) => a.ph.min(b.ph),
                (true, false) => a.ph,
                (false, true) => b.ph,
                _ => 0,
            };
            let av = if a.lim == NONE { NONE } else { to_unit(a.lim, a.watt, ph, want_w) };
            let bv = if b.lim == NONE { NONE } else { to_unit(b.lim, b.watt, ph, want_w) };
            let (lim, lvl, conv) = match (av == NONE, bv == NONE) {
                (true, true) => (default, 0, false),
                (false, true) => (av, a.lvl, a.watt != want_w),
                (true, false) => (bv, b.lvl, b.watt != want_w),
                _ => {
                    if av <= bv {
                        (av, a.lvl, a.watt != want_w)
                    } else {
                        (bv, b.lvl, b.watt != want_w)
                    }
                }
            };
            let o = OutD { start: (a.t.max(b.t) - now) as u32, lim, ph, lvl, conv };
            if out.len() == base || {
                let l = out[out.len() - 1];
                OutD { start: l.start, ..o } != l
            } {
                out.push(o)
            }
            let na = if i + 1 < pre.len() { pre[i + 1].t } else { INF };
            let nb = if j + 1 < cp.len() { cp[j + 1].t } else { INF };
            if na == INF && nb == INF {
                break;
            }
            if na <= nb {
                i += 1
            }
            if nb <= na {
                j += 1
            }
        }
    }
    off.push(out.len() as u32);
    let cps: Vec<(i64, i32)> =
        cp.iter().map(|s| (s.t, if s.lim == NONE { NONE } else { to_unit(s.lim, s.watt, s.ph, want_w) })).collect();
    zero_from_diff(diff, &cps, now, zero);
}
struct Work {
    pre: Vec<(i64, i32)>,
    pre_off: Vec<u32>,
    out: Out,
    zero: Vec<(u32, i64)>,
    diff: Vec<i64>,
    ev: Vec<(u32, i32)>,
}
fn all(m: &Model, now: i64, h: i64, w: &mut Work, lo: usize, hi: usize) {
    let end = now + h;
    let cp = m.cp_segments(now, end);
    w.pre.clear();
    w.pre_off.clear();
    w.out.start.clear();
    w.out.lim.clear();
    w.out.off.clear();
    for c in lo..hi {
        let s = w.pre.len();
        w.pre_off.push(s as u32);
        w.out.off.push(w.out.start.len() as u32);
        let pre = &mut w.pre;
        m.sweep(c, now, end, |t, l| pre.push((t, l)));
        min_merge(&w.pre[s..], &cp, now, m.default, &mut w.out);
    }
    w.pre_off.push(w.pre.len() as u32);
    w.out.off.push(w.out.start.len() as u32);
}
fn finish_zero(sum: &mut impl Iterator<Item = (u32, i64)>, cp: &[(i64, i32)], now: i64, zero: &mut Vec<(u32, i64)>) {
    zero.clear();
    let mut j = 0;
    let mut cur = 0i64;
    let mut emit = |t: u32, s: i64, b: i32| {
        let v = if b == NONE { s } else { s.min(b as i64) };
        if zero.last().map_or(true, |x| x.1 != v) {
            zero.push((t, v))
        }
    };
    let mut firstdone = false;
    for (t, s) in sum {
        while firstdone && j + 1 < cp.len() && ((cp[j + 1].0 - now) as u32) < t {
            j += 1;
            emit((cp[j].0 - now) as u32, cur, cp[j].1)
        }
        while j + 1 < cp.len() && ((cp[j + 1].0 - now) as u32) <= t {
            j += 1
        }
        cur = s;
        firstdone = true;
        emit(t, cur, if cp.is_empty() { NONE } else { cp[j].1 });
    }
    while j + 1 < cp.len() {
        j += 1;
        emit((cp[j].0 - now) as u32, cur, cp[j].1)
    }
}
#[inline]
fn val(l: i32, d: i32) -> i64 {
    if l == NONE { d as i64 } else { l as i64 }
}
/// connector 0, variant 1: binary-heap k-way merge over the N sorted segment lists
fn zero_heap(m: &Model, now: i64, h: i64, w: &mut Work) {
    let n = w.pre_off.len() - 1;
    let cp = m.cp_segments(now, now + h);
    let mut heap = BinaryHeap::with_capacity(n);
    let mut sum = 0i64;
    for c in 0..n {
        let o = w.pre_off[c];
        sum += val(w.pre[o as usize].1, m.default);
        if o + 1 < w.pre_off[c + 1] {
            heap.push(Reverse((w.pre[o as usize + 1].0, o + 1, w.pre_off[c + 1])))
        }
    }
    let mut v = vec![(0u32, sum)];
    while let Some(Reverse((t, o, e))) = heap.pop() {
        sum += val(w.pre[o as usize].1, m.default) - val(w.pre[o as usize - 1].1, m.default);
        let ts = (t - now) as u32;
        if v.last().unwrap().0 == ts {
            v.last_mut().unwrap().1 = sum
        } else {
            v.push((ts, sum))
        }
        if o + 1 < e {
            heap.push(Reverse((w.pre[o as usize + 1].0, o + 1, e)))
        }
    }
    let mut z = std::mem::take(&mut w.zero);
    finish_zero(&mut v.into_iter(), &cp, now, &mut z);
    w.zero = z;
}
/// variant 2: events sorted by time
fn zero_sort(m: &Model, now: i64, h: i64, w: &mut Work) {
    let n = w.pre_off.len() - 1;
    let cp = m.cp_segments(now, now + h);
    w.ev.clear();
    let mut sum = 0i64;
    for c in 0..n {
        let (o, e) = (w.pre_off[c] as usize, w.pre_off[c + 1] as usize);
        let mut last = val(w.pre[o].1, m.default);
        sum += last;
        for s in &w.pre[o + 1..e] {
            let v = val(s.1, m.default);
            w.ev.push(((s.0 - now) as u32, (v - last) as i32));
            last = v
        }
    }
    w.ev.sort_unstable_by_key(|x| x.0);
    let mut v = Vec::with_capacity(1024);
    v.push((0u32, sum));
    for &(t, d) in &w.ev {
        sum += d as i64;
        if v.last().unwrap().0 == t { v.last_mut().unwrap().1 = sum } else { v.push((t, sum)) }
    }
    let mut z = std::mem::take(&mut w.zero);
    finish_zero(&mut v.into_iter(), &cp, now, &mut z);
    w.zero = z;
}
/// variant 3: dense difference array over the horizon
fn zero_diff(m: &Model, now: i64, h: i64, w: &mut Work) {
    let n = w.pre_off.len() - 1;
    let cp = m.cp_segments(now, now + h);
    w.diff.clear();
    w.diff.resize(h as usize + 1, 0);
    for c in 0..n {
        let (o, e) = (w.pre_off[c] as usize, w.pre_off[c + 1] as usize);
        let mut last = val(w.pre[o].1, m.default);
        w.diff[0] += last;
        for s in &w.pre[o + 1..e] {
            let v = val(s.1, m.default);
            w.diff[(s.0 - now) as usize] += v - last;
            last = v
        }
    }
    let mut z = std::mem::take(&mut w.zero);
    zero_from_diff(&w.diff, &cp, now, &mut z);
    w.zero = z;
}
fn zero_from_diff(diff: &[i64], cp: &[(i64, i32)], now: i64, z: &mut Vec<(u32, i64)>) {
    let mut sum = 0i64;
    let mut it = diff.iter().enumerate().filter_map(|(t, &d)| {
        sum += d;
        if t == 0 || d != 0 { Some((t as u32, sum)) } else { None }
    });
    finish_zero(&mut it, cp, now, z);
}
fn json_out(m: &Model, w: &Work, h: i64, b: &mut Vec<u8>) {
    // full charging_schedules document, hand-written serialiser
    b.clear();
    b.extend_from_slice(b"{\"schedules\":[");
    let num = |b: &mut Vec<u8>, mut v: u64| {
        let mut t = [0u8; 20];
        let mut i = 20;
        loop {
            i -= 1;
            t[i] = b'0' + (v % 10) as u8;
            v /= 10;
            if v == 0 {
                break;
            }
        }
        b.extend_from_slice(&t[i..])
    };
    let one = |b: &mut Vec<u8>, id: usize, it: &mut dyn Iterator<Item = (u32, i64)>| {
        b.extend_from_slice(b"{\"evse\":");
        num(b, id as u64);
        b.extend_from_slice(b",\"charging_rate_unit\":\"A\",\"duration\":");
        num(b, h as u64);
        b.extend_from_slice(b",\"charging_schedule_period\":[");
        let mut f = true;
        for (s, l) in it {
            if !f {
                b.push(b',')
            }
            f = false;
            b.extend_from_slice(b"{\"start_period\":");
            num(b, s as u64);
            b.extend_from_slice(b",\"limit\":");
            num(b, (l / 10) as u64);
            b.push(b'.');
            num(b, (l % 10) as u64);
            b.push(b'}')
        }
        b.extend_from_slice(b"]},");
    };
    one(b, 0, &mut w.zero.iter().copied());
    for c in 0..m.n {
        let (o, e) = (w.out.off[c] as usize, w.out.off[c + 1] as usize);
        one(b, c + 1, &mut (o..e).map(|i| (w.out.start[i], w.out.lim[i] as i64)))
    }
    b.pop();
    b.extend_from_slice(b"]}");
}

fn load(path: &str) -> (Model, usize) {
    let mut m = Model::default();
    let mut txs: Vec<Option<(i64, i64)>> = vec![];
    struct P {
        c: usize,
        purpose: u8,
        p: Prof,
        txid: Option<i64>,
        per: Vec<(u32, i32, u8)>,
        level: i64,
    }
    let mut ps: Vec<P> = vec![];
    let mut first_tx = 0;
    for line in std::io::BufReader::new(std::fs::File::open(path).unwrap()).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            continue;
        }
        let j = parse(line.as_bytes(), &mut 0);
        if let Some(me) = j.get("meta") {
            m.now = unix(me.s("now").unwrap());
            m.default = if me.s("unit") == Some("W") { 331200 } else { 480 }
        } else if let Some(c) = j.i("connector") {
            m.n = m.n.max(c as usize);
            txs.resize(m.n, None);
            if let Some(t @ J::Obj(_)) = j.get("tx") {
                txs[c as usize - 1] = Some((t.i("id").unwrap_or(-1), unix(t.s("start").unwrap())));
                if first_tx == 0 {
                    first_tx = c as usize
                }
            }
        } else {
            let q = j.get("csChargingProfiles").unwrap();
            let s = q.get("chargingSchedule").unwrap();
            let c = j.i("connectorId").unwrap() as usize;
            let mut p = Prof {
                from: q.s("validFrom").map_or(-INF, unix),
                to: q.s("validTo").map_or(INF, unix),
                dur: s.i("duration").unwrap_or(INF),
                level: q.i("stackLevel").unwrap() as i32,
                watt: s.s("chargingRateUnit") == Some("W"),
                ..Default::default()
            };
            match q.s("chargingProfileKind").unwrap() {
                "Relative" => p.anchor = if c > 0 { txs[c - 1].map_or(m.now, |t| t.1) } else { m.now },
                k => {
                    p.anchor = s.s("startSchedule").map_or(m.now, unix);
                    if k == "Recurring" {
                        p.rec = if q.s("recurrencyKind") == Some("Weekly") { 604800 } else { 86400 };
                        p.dur = p.dur.min(p.rec)
                    }
                }
            }
            let purpose = match q.s("chargingProfilePurpose").unwrap() {
                "ChargePointMaxProfile" => 0,
                "TxDefaultProfile" => 1,
                _ => 2,
            };
            let per = s
                .a("chargingSchedulePeriod")
                .iter()
                .map(|x| {
                    (
                        x.i("startPeriod").unwrap() as u32,
                        match x.get("limit") {
                            Some(J::Num(v)) => (v * 10.0).round() as i32,
                            _ => 0,
                        },
                        x.i("numberPhases").unwrap_or(0) as u8,
                    )
                })
                .collect();
            ps.push(P { c, purpose, p, txid: q.i("transactionId"), per, level: q.i("stackLevel").unwrap() });
        }
    }
    ps.sort_by(|a, b| (a.c, a.purpose, -a.level).cmp(&(b.c, b.purpose, -b.level)));
    m.tx = vec![(0, 0); m.n];
    m.txd = vec![(0, 0); m.n];
    for x in &ps {
        if x.purpose == 2 {
            let ok = match (x.txid, txs[x.c - 1]) {
                (Some(a), Some(b)) => a == b.0,
                (None, Some(_)) => true,
                _ => false,
            };
            if !ok {
                continue;
            }
        }
        let mut p = x.p;
        p.off = m.starts.len() as u32;
        p.len = x.per.len() as u32;
        for &(s, l, f) in &x.per {
            m.starts.push(s);
            m.lims.push(l);
            m.ph.push(f)
        }
        let i = m.prof.len() as u32;
        m.prof.push(p);
        let r = match x.purpose {
            0 => &mut m.cp,
            1 => &mut m.txd[x.c - 1],
            _ => &mut m.tx[x.c - 1],
        };
        if r.1 == 0 { *r = (i, i + 1) } else { r.1 = i + 1 }
    }
    (m, first_tx)
}
#[repr(C)]
struct Ts {
    s: i64,
    n: i64,
}
unsafe extern "C" {
    fn clock_gettime(c: i32, t: *mut Ts) -> i32;
}
fn cpu() -> f64 {
    let mut t = Ts { s: 0, n: 0 };
    unsafe { clock_gettime(2, &mut t) };
    t.s as f64 + t.n as f64 * 1e-9
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (m, first_tx) = load(&a[2]);
    let h: i64 = a[3].parse().unwrap();
    let now = m.now;
    let mut w = Work { pre: vec![], pre_off: vec![], out: Out::default(), zero: vec![], diff: vec![], ev: vec![] };
    if a[1] == "evalfull" {
        let (mut fp, mut fo, mut ff, mut fd, mut fz) = (vec![], vec![], vec![], vec![], vec![]);
        all_full(&m, now, h, m.default == 331200, &mut fp, &mut fo, &mut ff, &mut fd, &mut fz);
        let f = |v: i64| format!("{}.{}", v / 10, v % 10);
        println!(
            "{{\"peer\":\"limit-full\",\"connector\":0,\"periods\":[{}]}}",
            fz.iter().map(|x| format!("[{},{},null]", x.0, f(x.1))).collect::<Vec<_>>().join(",")
        );
        for c in 0..m.n {
            println!(
                "{{\"peer\":\"limit-full\",\"connector\":{},\"periods\":[{}]}}",
                c + 1,
                fo[ff[c] as usize..ff[c + 1] as usize]
                    .iter()
                    .map(|x| format!(
                        "[{},{},{}]",
                        x.start,
                        f(x.lim as i64),
                        if x.ph == 0 { "null".into() } else { x.ph.to_string() }
                    ))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
        return;
    }
    if a[1] == "eval" {
        all(&m, now, h, &mut w, 0, m.n);
        zero_heap(&m, now, h, &mut w);
        let z1 = w.zero.clone();
        zero_sort(&m, now, h, &mut w);
        assert_eq!(z1, w.zero);
        zero_diff(&m, now, h, &mut w);
        assert_eq!(z1, w.zero);
        let o = std::io::stdout();
        let mut o = std::io::BufWriter::new(o.lock());
        let f = |v: i64| format!("{}.{}", v / 10, v % 10);
        write!(
            o,
            "{{\"peer\":\"limit\",\"connector\":0,\"periods\":[{}]}}\n",
            w.zero.iter().map(|x| format!("[{},{},null]", x.0, f(x.1))).collect::<Vec<_>>().join(",")
        )
        .unwrap();
        for c in 0..m.n {
            let (s, e) = (w.out.off[c] as usize, w.out.off[c + 1] as usize);
            write!(
                o,
                "{{\"peer\":\"limit\",\"connector\":{},\"periods\":[{}]}}\n",
                c + 1,
                (s..e)
                    .map(|i| format!("[{},{},null]", w.out.start[i], f(w.out.lim[i] as i64)))
                    .collect::<Vec<_>>()
                    .join(",")
            )
            .unwrap()
        }
        return;
    }
    let what = a[4].as_str();
    let reps: usize = a[5].parse().unwrap();
    let mut sink = 0usize;
    let end = now + h;
    let cp = m.cp_segments(now, end);
    let mut pre: Vec<(i64, i32)> = vec![];
    all(&m, now, h, &mut w, 0, m.n);
    zero_sort(&m, now, h, &mut w);
    let mut buf = Vec::new();
    let k = std::thread::available_parallelism().map_or(1, |x| x.get()).min(2);
    let mut ws: Vec<Work> = (0..k)
        .map(|_| Work { pre: vec![], pre_off: vec![], out: Out::default(), zero: vec![], diff: vec![], ev: vec![] })
        .collect();
    // cache for the sliding publish: resolved absolute segments for 24 h ahead
    let mut day = Work { pre: vec![], pre_off: vec![], out: Out::default(), zero: vec![], diff: vec![], ev: vec![] };
    if what == "slide" {
        all(&m, now, 86400 + h, &mut day, 0, m.n)
    }
    let mut diff = vec![0i64; h as usize + 1];
    if what == "incr" {
        zero_diff(&m, now, h, &mut w);
        diff.copy_from_slice(&w.diff)
    }
    let (mut fp, mut fo, mut ff, mut fd, mut fz) = (vec![], vec![], vec![], vec![], vec![]);
    let mut tick = 0i64;
    for _ in 0..reps {
        if std::env::var_os("STEP").is_some() {
            let mut l = String::new();
            if std::io::stdin().read_line(&mut l).unwrap() == 0 {
                return;
            }
        }
        let t0 = Instant::now();
        let mut cnt = 0u64;
        let c0 = cpu();
        let batch =
            if what.starts_with("one") || what == "incr_conn" || (m.n <= 128 && what != "par2") { 64 } else { 1 };
        loop {
            for _ in 0..batch {
                match what {
                    // one connector incl. its own computation of the station maximum (what a stateless call needs)
                    "one" => {
                        let cp = m.cp_segments(now, end);
                        w.out.start.clear();
                        w.out.lim.clear();
                        pre.clear();
                        m.sweep(first_tx - 1, now, end, |t, l| pre.push((t, l)));
                        min_merge(&pre, &cp, now, m.default, &mut w.out);
                        sink += w.out.start.len();
                        cnt += 1
                    }
                    // one connector with the station maximum already resolved
                    "one_shared" => {
                        w.out.start.clear();
                        w.out.lim.clear();
                        pre.clear();
                        m.sweep(first_tx - 1, now, end, |t, l| pre.push((t, l)));
                        min_merge(&pre, &cp, now, m.default, &mut w.out);
                        sink += w.out.start.len();
                        cnt += 1
                    }
                    "conns" => {
                        all(&m, now, h, &mut w, 0, m.n);
                        sink += w.out.start.len();
                        cnt += m.n as u64
                    }
                    "all_heap" => {
                        all(&m, now, h, &mut w, 0, m.n);
                        zero_heap(&m, now, h, &mut w);
                        sink += w.out.start.len() + w.zero.len();
                        cnt += 1
                    }
                    "all_sort" => {
                        all(&m, now, h, &mut w, 0, m.n);
                        zero_sort(&m, now, h, &mut w);
                        sink += w.out.start.len() + w.zero.len();
                        cnt += 1
                    }
                    "all_diff" => {
                        all(&m, now, h, &mut w, 0, m.n);
                        zero_diff(&m, now, h, &mut w);
                        sink += w.out.start.len() + w.zero.len();
                        cnt += 1
                    }
                    // stateless connector 0 (its own sweep of all connectors + sum)
                    "zero" => {
                        let end = now + h;
                        w.pre.clear();
                        w.pre_off.clear();
                        for c in 0..m.n {
                            w.pre_off.push(w.pre.len() as u32);
                            let pre = &mut w.pre;
                            m.sweep(c, now, end, |t, l| pre.push((t, l)))
                        }
                        w.pre_off.push(w.pre.len() as u32);
                        if h <= 86400 {
                            zero_diff(&m, now, h, &mut w)
                        } else {
                            zero_sort(&m, now, h, &mut w)
                        }
                        sink += w.zero.len();
                        cnt += 1
                    }
                    "all_full" => {
                        all_full(&m, now, h, m.default == 331200, &mut fp, &mut fo, &mut ff, &mut fd, &mut fz);
                        sink += fo.len() + fz.len();
                        cnt += 1
                    }
                    "z_heap" => {
                        zero_heap(&m, now, h, &mut w);
                        sink += w.zero.len();
                        cnt += 1
                    }
                    "z_sort" => {
                        zero_sort(&m, now, h, &mut w);
                        sink += w.zero.len();
                        cnt += 1
                    }
                    "z_diff" => {
                        zero_diff(&m, now, h, &mut w);
                        sink += w.zero.len();
                        cnt += 1
                    }
                    // two threads, connectors split in halves, each with its own difference array
                    "par2" => {
                        let n = m.n;
                        let mm = &m;
                        std::thread::scope(|s| {
                            for (i, x) in ws.iter_mut().enumerate() {
                                s.spawn(move || {
                                    all(mm, now, h, x, n * i / k, n * (i + 1) / k);
                                    if h <= 86400 { zero_diff(mm, now, h, x) } else { zero_sort(mm, now, h, x) }
                                });
                            }
                        });
                        sink += ws[0].zero.len();
                        cnt += 1
                    }
                    // one profile changed: recompute that connector, patch the difference array, rebuild connector 0
                    "incr" => {
                        let c = (cnt as usize * 7919) % m.n;
                        let (o, e) = (w.pre_off[c] as usize, w.pre_off[c + 1] as usize);
                        let mut last = 0;
                        for (i, s) in w.pre[o..e].iter().enumerate() {
                            let v = val(s.1, m.default);
                            diff[if i == 0 { 0 } else { (s.0 - now) as usize }] -= v - last;
                            last = v
                        }
                        pre.clear();
                        m.sweep(c, now, end, |t, l| pre.push((t, l)));
                        let mut last = 0;
                        for (i, s) in pre.iter().enumerate() {
                            let v = val(s.1, m.default);
                            diff[if i == 0 { 0 } else { (s.0 - now) as usize }] += v - last;
                            last = v
                        }
                        w.out.start.clear();
                        w.out.lim.clear();
                        min_merge(&pre, &cp, now, m.default, &mut w.out);
                        zero_from_diff(&diff, &cp, now, &mut w.zero);
                        sink += w.zero.len();
                        cnt += 1
                    }
                    "incr_conn" => {
                        let c = (cnt as usize * 7919) % m.n;
                        pre.clear();
                        m.sweep(c, now, end, |t, l| pre.push((t, l)));
                        w.out.start.clear();
                        w.out.lim.clear();
                        min_merge(&pre, &cp, now, m.default, &mut w.out);
                        sink += w.out.start.len();
                        cnt += 1
                    }
                    // periodic publish from cached resolved segments: copy the window [now+tick, +h) for every connector
                    "slide" => {
                        tick = (tick + 30) % 86400;
                        let (a0, b0) = (now + tick, now + tick + h);
                        w.out.start.clear();
                        w.out.lim.clear();
                        for c in 0..m.n {
                            let s = &day.pre[day.pre_off[c] as usize..day.pre_off[c + 1] as usize];
                            let mut i = s.partition_point(|x| x.0 <= a0) - 1;
                            loop {
                                w.out.start.push((s[i].0.max(a0) - a0) as u32);
                                w.out.lim.push(s[i].1);
                                i += 1;
                                if i >= s.len() || s[i].0 >= b0 {
                                    break;
                                }
                            }
                        }
                        sink += w.out.start.len();
                        cnt += 1
                    }
                    "json" => {
                        json_out(&m, &w, h, &mut buf);
                        sink += buf.len();
                        cnt += 1
                    }
                    _ => panic!(),
                }
            }
            if t0.elapsed().as_secs_f64() > 0.02 {
                break;
            }
        }
        println!(
            "{:.10}",
            (if what == "par2" || std::env::var_os("WALL").is_some() {
                t0.elapsed().as_secs_f64()
            } else {
                cpu() - c0
            }) / cnt as f64
        );
    }
    eprintln!("sink {} buf {}", sink, buf.len());
}
