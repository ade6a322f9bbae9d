//! The modules of all seeds, compiled once: on a busy machine that takes longer than a seed.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::sleep;

/// Each takes some seconds of a processor.
const PATIENCE: Duration = Duration::from_mins(3);
const MODULES: [&str; 3] = ["json-lines", "fluent-bit-meta", "pod-metadata"];

/// Has the program put them into its cache.
pub(super) async fn provide(binary: &Path, cache: &Path) -> Result<()> {
    let folder = cache.with_extension("first-run");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (config, log) = (folder.join("sluicebox.yaml"), folder.join("log"));
    let lanes: String = MODULES.map(|module| format!("  {module}: {{use: {module}, from: [pods], to: [out]}}\n")).concat();
    let text = format!(
        "node-name: n\nkubernetes: {{access: url, url: \"http://127.0.0.1:9\", token-retrieval: none}}\nadmin: {{listen: \"127.0.0.1:0\"}}\n\
         log: {{format: json}}\ncache-directory: {}\nsources: {{pods: {{}}}}\nmodules:\n{lanes}sinks: {{out: {{files: {{directory: {}, append: {{file: lines}}}}}}}}\n",
        cache.display(),
        folder.join("out").display(),
    );
    fs::write(&config, text).context("cannot write a configuration")?;
    let output = File::create(&log).context("cannot write a log")?;
    let mut program = Command::new(binary);
    program.arg("run").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let mut child = program.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let begun = Instant::now();
    let loaded = loop {
        let said = fs::read_to_string(&log).context("cannot read the log")?;
        if said.matches("\"module loaded\"").count() == MODULES.len() {
            break Ok(());
        }
        if let Some(status) = child.try_wait().context("cannot wait for the program")? {
            bail!("the program has ended ({status}):\n{said}");
        }
        if begun.elapsed() > PATIENCE {
            break Err(said);
        }
        sleep(Duration::from_millis(50)).await;
    };
    child.kill().context("cannot end the program")?;
    child.wait().context("cannot wait for the program")?;
    ensure!(loaded.is_ok(), "not all modules were compiled within {PATIENCE:?}:\n{}", loaded.err().unwrap_or_default());
    Ok(())
}
