//! `audit`.

use super::args::AuditArgs;
use super::{Context, Ended};
use crate::error::ClientError;

pub async fn run(_context: &Context, _args: AuditArgs) -> Result<Ended, ClientError> {
    Err(ClientError::Usage("not in this build".to_owned()))
}
