//! The arithmetic of permits, for Python.
#![forbid(unsafe_code)]

use super::guarded;
use crate::allocation::{self, Loads, Wishes};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(module = "ocpphub._native")]
pub(super) struct Allocation {
    allocation: allocation::Allocation,
}

/// The limits of a member, its load on L1 to L3, its power.
type Given = (Vec<i64>, (i64, i64, i64), i64);

fn refused(why: impl Into<String>) -> PyErr {
    PyValueError::new_err(why.into())
}

fn number(name: &str, value: i64) -> PyResult<u32> {
    u32::try_from(value).map_err(|_| refused(format!("{name}: 0 to {} allowed, not {value}", u32::MAX)))
}

fn loads((l1, l2, l3): (i64, i64, i64), milliwatts_per_ampere: i64) -> PyResult<Loads> {
    let [l1, l2, l3] = [number("loads", l1)?, number("loads", l2)?, number("loads", l3)?];
    Ok([l1, l2, l3, number("milliwatts_per_ampere", milliwatts_per_ampere)?])
}

fn amount(name: &str, value: Option<i64>) -> PyResult<Option<u64>> {
    value.map(u64::try_from).transpose().map_err(|_| refused(format!("{name}: 0 or more allowed")))
}

fn words(name: &str, bytes: &[u8]) -> PyResult<Vec<u32>> {
    match bytes.as_chunks() {
        (words, []) => Ok(words.iter().map(|word| u32::from_ne_bytes(*word)).collect()),
        _ => Err(refused(format!("{name}: four bytes for each number"))),
    }
}

#[pymethods]
impl Allocation {
    #[new]
    fn new(members: Vec<Given>, limits: i64) -> PyResult<Self> {
        let limits = number("limits", limits)?;
        let mut ready = Vec::with_capacity(members.len());
        for (own, phases, power) in members {
            let own = own.into_iter().map(|limit| number("members", limit)).collect::<PyResult<Vec<_>>>()?;
            ready.push((own, loads(phases, power)?));
        }
        let allocation = guarded(|| allocation::Allocation::new(&ready, limits))?.map_err(refused)?;
        Ok(Self { allocation })
    }

    #[pyo3(signature = (index, loads, milliwatts_per_ampere))]
    fn set_member(&mut self, index: i64, loads: (i64, i64, i64), milliwatts_per_ampere: i64) -> PyResult<()> {
        let loads = self::loads(loads, milliwatts_per_ampere)?;
        self.allocation.set_member(number("index", index)?, loads).map_err(refused)
    }

    #[pyo3(signature = (index, milliamperes, milliwatts))]
    fn set_limit(&mut self, index: i64, milliamperes: Option<i64>, milliwatts: Option<i64>) -> PyResult<()> {
        let (current, power) = (amount("milliamperes", milliamperes)?, amount("milliwatts", milliwatts)?);
        self.allocation.set_limit(number("index", index)?, current, power).map_err(refused)
    }

    fn allocate<'py>(
        &mut self,
        py: Python<'py>,
        bounds: &[u8],
        minimums: &[u8],
        held: &[u8],
        order: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (bounds, minimums) = (words("bounds", bounds)?, words("minimums", minimums)?);
        let (held, order) = (words("held", held)?, words("order", order)?);
        let wishes = Wishes { bounds: &bounds, minimums: &minimums, held: &held, order: &order };
        let shares = guarded(|| self.allocation.allocate(&wishes))?.map_err(refused)?;
        PyBytes::new_with(py, shares.len().saturating_mul(size_of::<u32>()), |out| {
            let (places, _) = out.as_chunks_mut();
            std::iter::zip(places, shares).for_each(|(place, share)| *place = share.to_ne_bytes());
            Ok(())
        })
    }
}
