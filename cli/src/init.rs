//! `everpost init`: node files, an authority and certificates that work at once on one machine.

mod certificates;
mod files;
mod plan;
mod text;

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use self::certificates::Authority;
use self::files::{Access, Files};
use self::plan::Planned;
use crate::days;
use crate::problem::Problem;

/// Writes node files, a development authority and certificates that work at once on this machine.
///
/// The authority is in DIR/ca.crt and DIR/ca.key, and each node has NAME.toml, NAME.crt and NAME.key. The nodes listen
/// on the loopback address, on ports counted up from PORT + 1. Either all files are written or none; one that exists
/// already is overwritten only with --force.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitOptions {
    /// The names of the nodes, with commas between them. A name has 1 to 63 characters of a-z, 0-9 and `-`.
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    nodes: Vec<String>,
    /// Where the files go; made if it is missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The name that all nodes share; nodes of different clusters refuse each other.
    #[arg(long, default_value = "development", value_name = "NAME")]
    cluster: String,
    /// The nodes listen on the ports after this one.
    #[arg(long, default_value_t = 7400)]
    port: u16,
    /// How long the certificates are valid.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Overwrites what exists. The authority is a new one, so nodes with certificates of the old one are refused.
    #[arg(long)]
    force: bool,
}

/// Shown below the help.
const EXAMPLES: &str = "\
Examples:
  everpost init --nodes east,west --dir nodes
  everpost init --nodes a,b,c --dir nodes --cluster orders --port 9000 --days 30
  everpost init --nodes east,west,north --dir nodes --force    renew everything, with one node more

The authority is for development: whoever has DIR/ca.key can make a node. For production, let your own authority issue
certificates for client and server use, each with the node's name as its only DNS name.";

/// Writes the files; what to print.
pub(crate) fn run(options: &InitOptions) -> Result<String, Problem> {
    let nodes = plan::plan(&options.nodes, &options.cluster, options.port)?;
    let mut files = Files::new(&options.dir, options.force);
    files.refuse_existing(plan::files(&nodes))?;

    let now = days::now();
    let until = days::later(now, options.days);
    let authority = Authority::make(&options.cluster, now, until)?;
    files.add("ca.crt", Access::Everyone, authority.certificate());
    files.add("ca.key", Access::Owner, authority.key());
    for node in &nodes {
        let issued = authority.issue(&node.name, now, until)?;
        files.add(&format!("{}.toml", node.name), Access::Everyone, text::of_node(node, &nodes, &options.cluster));
        files.add(&format!("{}.crt", node.name), Access::Everyone, issued.certificate);
        files.add(&format!("{}.key", node.name), Access::Owner, issued.key);
    }
    files.write()?;
    Ok(summary(options, &nodes, &days::relative(until, now)))
}

fn summary(options: &InitOptions, nodes: &[Planned], until: &str) -> String {
    let dir = options.dir.display();
    let width = nodes.iter().map(|node| node.name.len()).max().unwrap_or_default().max("authority".len());
    let mut text = format!("wrote to {dir}, for the cluster `{}`, valid until {until}:\n\n", options.cluster);
    let mut line = |name: &str, listen: &str, files: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<width$}  {listen:<15}  {files}");
    };
    line("node", "listens on", "files");
    for Planned { name, listen } in nodes {
        line(name, &listen.to_string(), &format!("{name}.toml, {name}.crt, {name}.key"));
    }
    line("authority", "-", "ca.crt, ca.key (keep it away from others: who has it can make a node)");
    let first = &nodes[0].name;
    let _ = write!(
        text,
        "\nnext:\n  everpost check {dir}/{first}.toml\n  \
         cargo run --release --example access_log -- --config {dir}/{first}.toml\n"
    );
    text
}
