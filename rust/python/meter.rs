//! MeterValues from native numbers, for Python.
#![forbid(unsafe_code)]

use super::{guarded, own_id};
use crate::meter;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

#[pyclass(frozen, module = "ocpphub._native")]
pub(super) struct MeterLayout {
    layout: meter::MeterLayout,
}

#[pymethods]
impl MeterLayout {
    #[new]
    fn new(samples: Vec<Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut prepared = Vec::with_capacity(samples.len());
        for sample in samples {
            prepared.push(
                sample.iter().map(|(name, value)| Ok((name.extract()?, value.extract()?))).collect::<PyResult<_>>()?,
            );
        }
        Ok(Self { layout: meter::MeterLayout::new(&prepared).map_err(PyValueError::new_err)? })
    }

    fn encode<'py>(
        &self,
        py: Python<'py>,
        unique_id: &str,
        connector_id: i64,
        transaction_id: Option<i64>,
        readings: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut numbers = Vec::with_capacity(self.layout.samples());
        let refused = |why: String| PyValueError::new_err(why);
        let mut out = self.layout.begin(own_id(unique_id)?, connector_id, transaction_id).map_err(refused)?;
        for reading in readings.try_iter()? {
            let reading = reading?.cast_into::<PyTuple>()?;
            let (Ok(utc_ms), Ok(values)) = (reading.get_borrowed_item(0), reading.get_borrowed_item(1)) else {
                return Err(refused("/meterValue: a reading is (UTC milliseconds, numbers)".into()));
            };
            let utc_ms = utc_ms.extract()?;
            numbers.clear();
            if let Ok(values) = values.cast::<PyTuple>() {
                for value in values.iter_borrowed() {
                    numbers.push(number_or_nan(&value)?);
                }
            } else {
                for value in values.try_iter()? {
                    numbers.push(number_or_nan(&value?)?);
                }
            }
            let reading = meter::Reading { utc_ms, values: &numbers };
            guarded(|| self.layout.add(&mut out, &reading))?.map_err(refused)?;
        }
        Ok(PyBytes::new(py, &meter::MeterLayout::finish(out).map_err(refused)?))
    }
}

/// A sample, or NaN for the `None` that leaves it out.
#[inline(always)]
fn number_or_nan(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    if value.is_none() { Ok(f64::NAN) } else { value.extract() }
}
