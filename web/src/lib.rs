//! The common parts of our servers for programs that aren't nodes: gateway, connector, portal.
//!
//! Where to start reading: [`listen`] serves HTTP on a port; the other modules are what it and the servers stand on.
//!
//! - [`accept`]: connections, bounded in number, for each address too;
//! - [`tls`]: the server's side of TLS, and the public key of a caller's certificate;
//! - [`lines`]: requests whose lines end as HTTP says, and whose length has one meaning;
//! - [`listen`]: HTTP/1.1 and HTTP/2, each connection bounded in headers and time;
//! - [`config`]: a configuration file, with the paths in it;
//! - [`process`]: how such a process starts, follows its parent, and is told to stop.
//!
//! It knows no path, no resource and no node. An answer is the server's own; so is the number of questions that it puts to the nodes.

#![deny(missing_docs)]

pub mod accept;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
pub mod lines;
pub mod listen;
pub mod process;
pub mod tls;
