//! The Rust core of ocpphub: OCPP-J 1.6 frames decoded, validated and encoded against one action table.
//!
//! What is here: frames (`frame`), payload rules (`validate`, `action`), the JSON scanner they stand on (`json`), times
//! (`time`), refusals and their codes (`violation`); charging profiles (`profile`, `profiles`, `stored`) and composite
//! schedules (`electrical`, `composite`, `total`, `schedules`), told as JSON (`published`) and explained (`explain`);
//! fair shares under limits (`allocation`, `sweep`, `room`, `events`). What is not: sockets, clocks, threads, files,
//! station state. The crate builds and tests without Python; `python` alone names PyO3, behind that feature.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic))]

pub mod action;
pub mod allocation;
pub mod build;
pub mod check;
pub mod composite;
mod draft;
pub mod electrical;
pub mod encode;
mod events;
pub mod explain;
pub mod frame;
pub mod json;
pub mod meter;
pub mod number;
pub mod periods;
pub mod profile;
pub mod profiles;
pub mod published;
mod room;
pub mod scalar;
pub mod schedules;
pub mod stored;
mod sweep;
pub mod table;
pub mod text;
pub mod time;
pub mod total;
pub mod validate;
pub mod violation;

#[cfg(feature = "python")]
mod python;
