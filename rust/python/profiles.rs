//! The installed charging profiles and their schedules, for Python.
#![forbid(unsafe_code)]

use super::guarded;
use crate::composite::Window;
use crate::electrical::{Ratings, StationRatings};
use crate::profile::{Limits, Purpose, Unit};
use crate::profiles::{self, Filter, Transaction};
use crate::published::{self, Published, SECONDS};
use crate::schedules::SUMMED_S;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Longest window: beyond it no date-time could say when it ends.
const LONGEST_S: u32 = 31_622_400;

#[pyclass(frozen, module = "ocpphub._native")]
pub(super) struct Installed {
    #[pyo3(get)]
    charging_profile_id: i64,
    row: String,
    #[pyo3(get)]
    replaced: Vec<i64>,
    #[pyo3(get)]
    moved_from: Option<u32>,
}

#[pymethods]
impl Installed {
    #[getter]
    fn row<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.row.as_bytes())
    }
    fn __repr__(&self) -> String {
        format!("<Installed {}>", self.charging_profile_id)
    }
}

#[pyclass(module = "ocpphub._native")]
pub(super) struct Profiles {
    profiles: profiles::Profiles,
    published: Published,
}

fn refused(why: impl Into<String>) -> PyErr {
    PyValueError::new_err(why.into())
}

fn unit(name: &str) -> PyResult<Unit> {
    match name {
        "A" => Ok(Unit::A),
        "W" => Ok(Unit::W),
        _ => Err(refused("unit: A or W allowed")),
    }
}

fn second(name: &str, value: i64) -> PyResult<i64> {
    if SECONDS.contains(&value) {
        Ok(value)
    } else {
        Err(refused(format!("{name}: a second of the years 1 to 9999 allowed")))
    }
}

fn window(start_s: i64, duration_s: u32, in_unit: &str, query_s: Option<i64>) -> PyResult<Window> {
    within(duration_s, LONGEST_S)?;
    let start = second("start_s", start_s)?;
    let query = second("query_s", query_s.unwrap_or(start))?;
    Ok(Window { start, duration: duration_s, unit: unit(in_unit)?, query })
}

fn within(duration_s: u32, longest_s: u32) -> PyResult<()> {
    let is_allowed = (1..=longest_s).contains(&duration_s);
    if is_allowed { Ok(()) } else { Err(refused(format!("duration_s: 1 to {longest_s} allowed"))) }
}

/// A window of all connectors at once.
fn window_of_all(start_s: i64, duration_s: u32, unit: &str) -> PyResult<Window> {
    within(duration_s, SUMMED_S)?;
    window(start_s, duration_s, unit, None)
}

impl Profiles {
    /// Run `body`; after a panic nothing that was computed is trusted any more.
    fn run<T>(&mut self, body: impl FnOnce(&mut profiles::Profiles, &mut Published) -> T) -> PyResult<T> {
        let Self { profiles, published } = self;
        let outcome = guarded(|| body(profiles, published));
        if outcome.is_err() {
            self.published = Published::new();
            self.profiles.dirty.all = true;
        }
        outcome
    }

    fn connector(&self, connector_id: i64) -> PyResult<u32> {
        let connectors = self.profiles.connectors();
        let known = u32::try_from(connector_id).ok().filter(|id| *id <= connectors);
        known.ok_or_else(|| refused(format!("connector_id: 0 to {connectors} allowed")))
    }
}

#[pymethods]
impl Profiles {
    #[new]
    #[pyo3(signature = (connectors, station, *, max_stack_level, max_periods, max_installed, units))]
    fn new(
        connectors: Vec<Ratings>,
        station: StationRatings,
        max_stack_level: u32,
        max_periods: usize,
        max_installed: usize,
        units: &str,
    ) -> PyResult<Self> {
        let units = match units {
            "A" => [true, false],
            "W" => [false, true],
            "AW" => [true, true],
            _ => return Err(refused("units: A, W or AW allowed")),
        };
        let limits = Limits { max_stack_level, max_periods, max_installed, units };
        let profiles = guarded(|| profiles::Profiles::new(&connectors, station, limits))?.map_err(refused)?;
        Ok(Self { profiles, published: Published::new() })
    }

    fn install<'py>(
        &mut self,
        py: Python<'py>,
        connector_id: i64,
        profile: &[u8],
        now_s: i64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (connector, now) = (self.connector(connector_id)?, second("now_s", now_s)?);
        match self.run(|profiles, _| profiles.install(connector, profile, now))?.map_err(refused)? {
            Ok(profiles::Installed { id, row, replaced, moved_from }) => {
                Ok(Bound::new(py, Installed { charging_profile_id: id, row, replaced, moved_from })?.into_any())
            }
            Err(why) => Ok(PyString::new(py, &why.0).into_any()),
        }
    }

    #[pyo3(signature = (charging_profile_id=None, connector_id=None, purpose=None, stack_level=None))]
    fn clear(
        &mut self,
        charging_profile_id: Option<i64>,
        connector_id: Option<i64>,
        purpose: Option<&str>,
        stack_level: Option<i64>,
    ) -> PyResult<Vec<i64>> {
        let named = |name: &str| Purpose::ALL.into_iter().find(|purpose| purpose.name() == name);
        let purpose = match purpose {
            Some(name) => Some(named(name).ok_or_else(|| refused("purpose: not a ChargingProfilePurposeType"))?),
            None => None,
        };
        // A connector or level that cannot be matches nothing.
        let nowhere = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let (connector, level) = (connector_id.map(nowhere), stack_level.map(nowhere));
        let filter = Filter { id: charging_profile_id, connector, purpose, level };
        self.run(|profiles, _| profiles.clear(&filter))
    }

    fn restore(&mut self, rows: Vec<Bound<'_, PyBytes>>) -> PyResult<Vec<usize>> {
        let rows: Vec<_> = rows.iter().map(|row| row.as_bytes()).collect();
        self.run(|profiles, _| profiles.restore_all(&rows))
    }

    fn purge(&mut self, now_s: i64) -> PyResult<Vec<i64>> {
        self.run(|profiles, _| profiles.purge(now_s))
    }

    fn next_purge(&self) -> Option<i64> {
        self.profiles.next_purge()
    }

    #[pyo3(signature = (connector_id, start_s, transaction_id=None))]
    fn transaction_started(&mut self, connector_id: i64, start_s: i64, transaction_id: Option<i64>) -> PyResult<()> {
        let connector = self.connector(connector_id)?;
        let transaction = Transaction { start: second("start_s", start_s)?, id: transaction_id };
        if self.run(|profiles, _| profiles.start(connector, transaction))? {
            Ok(())
        } else {
            Err(refused("connector_id: 1 or more allowed"))
        }
    }

    fn transaction_moved(&mut self, connector_id: i64, start_s: i64) -> PyResult<()> {
        let connector = self.connector(connector_id)?;
        let start = second("start_s", start_s)?;
        if self.run(|profiles, _| profiles.move_start(connector, start))? {
            Ok(())
        } else {
            Err(refused("connector_id: one with a transaction allowed"))
        }
    }

    fn transaction_confirmed(&mut self, connector_id: i64, transaction_id: i64) -> PyResult<()> {
        let connector = self.connector(connector_id)?;
        let is_running = self.run(|profiles, _| profiles.confirm(connector, transaction_id))?;
        if is_running { Ok(()) } else { Err(refused("connector_id: no transaction runs there")) }
    }

    fn transaction_stopped(&mut self, connector_id: i64) -> PyResult<Vec<i64>> {
        let connector = self.connector(connector_id)?;
        self.run(|profiles, _| profiles.stop(connector))
    }

    fn ceiling(&self, at_s: i64) -> PyResult<(Option<i64>, Option<i64>, i64)> {
        let (limit, until) = self.profiles.ceiling(second("at_s", at_s)?);
        let of = |wanted: Unit| limit.filter(|(_, unit)| *unit == wanted).map(|(tenths, _)| tenths);
        Ok((of(Unit::A), of(Unit::W), until))
    }

    #[pyo3(signature = (connector_id, start_s, duration_s, unit, query_s=None))]
    fn composite<'py>(
        &mut self,
        py: Python<'py>,
        connector_id: i64,
        start_s: i64,
        duration_s: u32,
        unit: &str,
        query_s: Option<i64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let connector = self.connector(connector_id)?;
        let window = window(start_s, duration_s, unit, query_s)?;
        Ok(PyBytes::new(py, &self.run(|profiles, published| published.one(profiles, &window, connector))?))
    }

    fn composite_all<'py>(
        &mut self,
        py: Python<'py>,
        start_s: i64,
        duration_s: u32,
        unit: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let window = window_of_all(start_s, duration_s, unit)?;
        // Others may run meanwhile: the writer of the store above all.
        py.detach(|| self.run(|profiles, published| published.all(profiles, &window).len()))?;
        Ok(PyBytes::new(py, self.published.text()))
    }

    fn compute(&mut self, py: Python<'_>, start_s: i64, duration_s: u32, unit: &str) -> PyResult<usize> {
        let window = window_of_all(start_s, duration_s, unit)?;
        py.detach(|| self.run(|profiles, published| published.compute(profiles, &window)))
    }

    fn changes<'py>(
        &mut self,
        py: Python<'py>,
        start_s: i64,
        duration_s: u32,
        unit: &str,
        limit: usize,
    ) -> PyResult<Vec<(u32, Bound<'py, PyBytes>)>> {
        let window = window_of_all(start_s, duration_s, unit)?;
        let changes = self.run(|profiles, published| published.changes(profiles, &window, limit))?;
        Ok(changes.into_iter().map(|(connector, schedule)| (connector, PyBytes::new(py, &schedule))).collect())
    }

    #[getter]
    fn resting(&self) -> usize {
        self.profiles.resting()
    }

    #[getter]
    fn fitted_s(&self) -> Option<u32> {
        self.published.fitted_s()
    }

    fn forget_changes(&mut self) {
        self.published.forget();
    }

    #[pyo3(signature = (connector_id, start_s, duration_s, unit, query_s=None))]
    fn explain<'py>(
        &mut self,
        py: Python<'py>,
        connector_id: i64,
        start_s: i64,
        duration_s: u32,
        unit: &str,
        query_s: Option<i64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let connector = self.connector(connector_id)?;
        let window = window(start_s, duration_s, unit, query_s)?;
        let text = self.run(|profiles, published| published.explain(profiles, &window, connector))?;
        let text = text.ok_or_else(|| refused("duration_s: more than can be explained at once"))?;
        Ok(PyBytes::new(py, text.as_bytes()))
    }

    #[pyo3(signature = (connector_id=None))]
    fn installed<'py>(&self, py: Python<'py>, connector_id: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let connector = connector_id.map(|id| self.connector(id)).transpose()?;
        Ok(PyBytes::new(py, &guarded(|| published::installed(&self.profiles, connector))?))
    }

    fn __len__(&self) -> usize {
        self.profiles.count()
    }
}
