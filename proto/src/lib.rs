//! The messages: the protobuf schema and the types made from it.
//!
//! Start with `proto/sillage/v1/record.proto`: a [`v1::Record`] is what authors sign. The gRPC services are behind the
//! feature `grpc`, so that verifiers need no network code. Layouts that are signed or hashed are in `docs/formats.md`;
//! the services keep to protobuf's own rules of compatibility.

/// Records, and the service that parties call.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sillage.v1.rs"));
}

/// Messages between nodes, and the content of the Raft log.
pub mod internal {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic)]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sillage.internal.v1.rs"));
    }
}
