//! `tidegate webhook-config`
/// x
#[derive(Debug, clap::Args)]
pub struct Args {}
/// x
/// # Errors
/// x
pub fn run(_args: &Args) -> anyhow::Result<super::exit::Exit> {
    Ok(super::exit::Exit::Clean)
}
