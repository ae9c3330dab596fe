//! Compiles the schema with protox, a protobuf compiler in Rust, so that no `protoc` is needed for our own protocol.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    let files = protox::compile(
        [
            "sillage/v1/record.proto",
            "sillage/v1/ledger.proto",
            "sillage/internal/v1/command.proto",
            "sillage/internal/v1/peer.proto",
        ],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .bytes(".sillage.internal.v1.SealedRecord.payload")
        .bytes(".sillage.internal.v1.SealedRecord.record_hash")
        .bytes(".sillage.internal.v1.SealedRecord.tag")
        .compile_fds(files)?;
    Ok(())
}
