//! How we break it, and how we look whether it broke.
//!
//! - [`check`]: what must hold whatever happens, as checkers over observations. They know neither the simulator nor
//!   processes, so the same ones judge both;
//! - [`sim`]: a whole group of replicas in one thread, with simulated network, disks and clocks, all from one seed;
//! - [`ens`]: a believable day of the health space, from a seed: what the ledger is fed with;
//! - [`process`]: real nodes as processes, killed, stopped and restarted; nothing is left behind;
//! - [`load`]: writers that feed a real ledger and askers, and an exact account of what was acknowledged;
//! - [`consent`]: patients who grant and revoke, doctors who ask, and whether what was decided follows from what is on record;
//! - [`audit`]: the whole log read back and compared with that account; [`progress`]: how far a long step is.
//!
//! The programs: `sillage-demo` shows a day to a person, `sillage-chaos` kills real nodes under load, `sillage-bench`
//! measures recording, `sillage-decisions` decisions, `sillage-proofs` proofs; `sillage-sim` runs the simulation.

#![deny(missing_docs)]

pub mod audit;
pub mod check;
pub mod consent;
pub mod ens;
pub mod load;
pub mod process;
pub mod progress;
pub mod sim;
