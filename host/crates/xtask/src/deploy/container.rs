//! A pod's container, run by runc as the pod says: user, root, capabilities, seccomp, mounts, variables, and the token of its service account.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sluicebox_testkit::program::ask;
use tokio::time::sleep;

use super::cluster::Cluster;
use super::oci::{self, Bind, PROGRAM};
use super::pod::{self, Pod, Volume};
use super::seccomp;
use super::surroundings::Surroundings;
use super::tools::Tools;
use crate::{command, workspace};

/// Where every manifest has the program answer probes.
const ADMIN: &str = "127.0.0.1:9420";
/// Longer than `shutdown-grace`.
const END_WITHIN: Duration = Duration::from_secs(40);
const TAG: &str = "localhost/sluicebox:tried";
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What containers need from outside.
pub(super) struct Stage<'a> {
    pub(super) tools: &'a Tools,
    pub(super) cluster: &'a Cluster,
    pub(super) surroundings: &'a Surroundings,
    pub(super) rootfs: &'a Path,
    pub(super) folder: &'a Path,
}

/// Where images are kept, in this folder.
fn storage(folder: &Path) -> Result<PathBuf> {
    let storage = folder.join("storage.conf");
    let (graph, run) = (folder.join("storage"), folder.join("storage-run"));
    let text = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", graph.display(), run.display());
    fs::write(&storage, text).context("cannot write the configuration of the image store")?;
    Ok(storage)
}

/// Builds an image with one file in it, which is not ours: where that fails, no image can be built here.
pub(super) fn build_nothing(tools: &Tools, folder: &Path) -> Result<()> {
    fs::copy(&tools.busybox, folder.join("busybox")).context("cannot copy busybox")?;
    fs::write(folder.join("Containerfile"), "FROM scratch\nCOPY busybox /busybox\n").context("cannot write a recipe")?;
    let mut buildah = Command::new(&tools.containers.buildah);
    buildah.env("CONTAINERS_STORAGE_CONF", storage(folder)?).args(["bud", "--quiet", "--isolation", "chroot"]);
    buildah.arg("--signature-policy").arg(&tools.containers.policy).arg(folder);
    command::capture(&mut buildah).map(|_| ())
}

/// Builds the image of a program and unpacks it.
pub(super) fn root(tools: &Tools, binary: &Path, folder: &Path) -> Result<PathBuf> {
    let storage = storage(folder)?;
    let containers = &tools.containers;
    let mut build = Command::new(workspace::root().join("deploy/image/from-binary/build.sh"));
    build
        .arg(binary)
        .arg(TAG)
        .env("STRIP", "yes")
        .env("BUILDAH", &containers.buildah)
        .env("SIGNATURE_POLICY", &containers.policy);
    command::capture(build.env("CONTAINERS_STORAGE_CONF", &storage)).context("cannot build the image")?;
    let buildah = |arguments: &[&str]| {
        let mut buildah = Command::new(&containers.buildah);
        command::capture(buildah.env("CONTAINERS_STORAGE_CONF", &storage).args(arguments)).map(|text| text.trim().to_owned())
    };
    let size = buildah(&["images", "--format", "{{.Size}}", TAG])?;
    let container = buildah(&["from", "--pull-never", TAG])?;
    command::say(format!("the image is built: {size}, as it is unpacked"));
    buildah(&["mount", &container]).map(PathBuf::from)
}

/// A container at work; it ends with its owner.
pub(super) struct Container {
    runc: Command,
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
    /// What is mounted, by where.
    binds: Vec<Bind>,
}

impl Container {
    /// Starts the pod's container with a token of its own.
    pub(super) async fn start(stage: &Stage<'_>, pod: &Pod, objects: &[Value]) -> Result<Self> {
        let name = format!("sluicebox-{}", std::process::id());
        let bundle = stage.folder.join("bundle");
        if bundle.exists() {
            fs::remove_dir_all(&bundle).context("cannot remove what the container before has left")?;
        }
        make(&bundle)?;
        let token = stage.cluster.api.mint_token(&pod.namespace, &pod.account).await?;
        let mut binds = vec![identity(stage, pod, &bundle, &token)?];
        for mount in pod.mounts()? {
            let from = folder(stage, pod, objects, &bundle, &mount)?;
            binds.push(Bind { from, to: mount.place, read_only: mount.read_only });
        }
        let variables = variables(stage, pod, objects)?;
        let seccomp = seccomp::read(&stage.tools.containers.seccomp)?;
        let config = oci::config(pod, stage.rootfs, &variables, &binds, &seccomp)?;
        fs::write(bundle.join("config.json"), config.to_string())?;

        let (output, log) = (stage.folder.join("output"), stage.folder.join("log"));
        let mut runc = Command::new(&stage.tools.containers.runc);
        runc.arg("--root").arg(stage.folder.join("runc"));
        let mut run = Command::new(runc.get_program());
        run.args(runc.get_args()).args(["run", "--bundle"]).arg(&bundle).arg(&name);
        let child = run.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(File::create(&log)?).spawn();
        Ok(Self { runc, name, child: child.context("cannot start runc")?, output, log, binds })
    }

    /// What it has logged, with the quotes of JSON taken away.
    pub(super) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?.replace("\\\"", "\""))
    }

    /// What it has written to its standard output.
    pub(super) fn output(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.output)?)
    }

    /// Where the node, or the pod, has what is mounted there.
    pub(super) fn mounted(&self, place: &str) -> Option<&Path> {
        self.binds.iter().find(|bind| bind.to == place).map(|bind| bind.from.as_path())
    }

    /// The page of its metrics; empty while it does not answer.
    pub(super) async fn metrics(&self) -> String {
        ask(ADMIN, "/metrics").await.map(|(_, text)| text).unwrap_or_default()
    }

    /// Waits until something is so; fails when the program ends.
    pub(super) async fn until(
        &mut self,
        patience: Duration,
        what: &str,
        mut so: impl AsyncFnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let begun = Instant::now();
        while !so(self).await? {
            if let Some(status) = self.child.try_wait()? {
                bail!("the container has ended ({status}) before {what}; its log:\n{}", self.log()?);
            }
            if begun.elapsed() > patience {
                bail!("not within {patience:?}: {what}; its log:\n{}", self.log()?);
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Has the program say, in the container, whether it may do all that its configuration wants: an error with the table where it says no.
    pub(super) fn ensure_permitted(&self, arguments: &[String]) -> Result<()> {
        let mut check = Command::new(self.runc.get_program());
        check.args(self.runc.get_args()).args(["exec", &self.name, PROGRAM, "check", "--permissions"]);
        // What follows `run`.
        let output = check.args(arguments.iter().skip(1)).output().context("cannot start runc")?;
        let (table, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "`check --permissions` ended with {}:\n{table}{words}", output.status);
        Ok(())
    }

    /// Makes sure that the kernel sees the process as the pod says: its user, no capability and no way to one, system calls filtered, and a root that
    /// cannot be written.
    pub(super) fn ensure_confined(&self, user: u64) -> Result<()> {
        let state: Value = serde_json::from_str(&self.runc(&["state", &self.name])?).context("cannot read what runc says")?;
        let process = format!("/proc/{}", state.get("pid").and_then(Value::as_u64).context("runc names no process")?);
        let status = fs::read_to_string(format!("{process}/status"))?;
        let user = format!("Uid:\t{user}\t{user}\t{user}\t{user}");
        for row in [user.as_str(), "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            ensure!(status.lines().any(|line| line == row), "its process has no `{row}`:\n{status}");
        }
        // The fifth field is where something is mounted, the sixth how.
        let mounts = fs::read_to_string(format!("{process}/mountinfo"))?;
        let fields = |line: &str| line.split(' ').skip(4).take(2).map(str::to_owned).collect::<Vec<_>>();
        let is_read_only = |line: &str| matches!(fields(line).as_slice(), [place, ways] if place == "/" && ways.split(',').any(|way| way == "ro"));
        ensure!(mounts.lines().any(is_read_only), "its root can be written:\n{mounts}");
        Ok(())
    }

    /// Sends SIGTERM and waits for the end.
    pub(super) async fn stop(mut self) -> Result<ExitStatus> {
        let name = self.name.clone();
        self.runc(&["kill", &name, "TERM"])?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > END_WITHIN {
                bail!("it has not ended within {END_WITHIN:?} of SIGTERM; its log:\n{}", self.log()?);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn runc(&self, arguments: &[&str]) -> Result<String> {
        let mut runc = Command::new(self.runc.get_program());
        command::capture(runc.args(self.runc.get_args()).args(arguments))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended, and be gone, already.
        let _gone = self.runc(&["delete", "--force", &self.name]);
        let _reaped = self.child.wait();
    }
}

/// What a kubelet gives to every pod that wants the token.
fn identity(stage: &Stage<'_>, pod: &Pod, bundle: &Path, token: &str) -> Result<Bind> {
    let folder = bundle.join("identity");
    make(&folder)?;
    let authority =
        fs::read_to_string(stage.cluster.api.certificate_authority()).context("cannot read the API server's certificate")?;
    for (name, text) in [("token", token), ("ca.crt", &authority), ("namespace", &pod.namespace)] {
        write(&folder.join(name), text)?;
    }
    Ok(Bind { from: folder, to: TOKEN.to_owned(), read_only: true })
}

fn variables(stage: &Stage<'_>, pod: &Pod, objects: &[Value]) -> Result<BTreeMap<String, String>> {
    let mut variables = pod.environment(objects)?;
    // The manifests name services of a cluster; here these are they.
    for (name, value) in stage.surroundings.addresses() {
        if let Some(variable) = variables.get_mut(name) {
            *variable = value;
        }
    }
    variables.insert("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned());
    variables.insert("KUBERNETES_SERVICE_PORT".to_owned(), stage.cluster.port()?);
    Ok(variables)
}

/// Makes what is mounted, as a kubelet does.
fn folder(stage: &Stage<'_>, pod: &Pod, objects: &[Value], bundle: &Path, mount: &pod::Mount) -> Result<PathBuf> {
    let (user, _, group) = pod.user()?;
    let name = mount.place.trim_start_matches('/').replace('/', "-");
    match &mount.volume {
        Volume::Host(path) if path.starts_with("/sys/") => Ok(PathBuf::from(path)),
        Volume::Host(path) => {
            let folder = host(stage.folder, path);
            make(&folder)?;
            Ok(folder)
        }
        Volume::ConfigMap(map) => {
            let folder = bundle.join(name);
            make(&folder)?;
            for (key, value) in pod::data(objects, map)? {
                write(&folder.join(key), value.as_str().unwrap_or_default())?;
            }
            Ok(folder)
        }
        Volume::Empty => {
            // Compiled modules are kept, as they are when only the container starts again.
            let kept = mount.place.contains("/cache/");
            let folder = if kept { stage.folder.join(format!("cache-{user}")) } else { bundle.join(name) };
            make(&folder)?;
            chown(&folder, Some(0), group.and_then(|group| u32::try_from(group).ok()))?;
            fs::set_permissions(&folder, Permissions::from_mode(if group.is_some() { 0o2777 } else { 0o777 }))?;
            Ok(folder)
        }
    }
}

/// Where a folder of the node is here.
pub(super) fn host(folder: &Path, path: &str) -> PathBuf {
    folder.join("host").join(path.trim_start_matches('/'))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755)).with_context(|| format!("cannot open {}", folder.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    fs::set_permissions(file, Permissions::from_mode(0o644)).with_context(|| format!("cannot open {}", file.display()))
}
