//! What comes and goes is told, and nobody is woken for nothing.

use super::*;

#[test]
fn every_tree_of_the_fixtures_is_found_with_whose_it_is() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cgroups");
    for tree in fs::read_dir(&fixtures).unwrap().map(|entry| entry.unwrap().path().join("paths")).filter(|path| path.is_file()) {
        let folder = folder();
        let text = fs::read_to_string(&tree).unwrap();
        let lines: Vec<(&str, &str)> =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')).collect();
        for (_, path) in &lines {
            fs::create_dir_all(folder.path().join(&path[1..])).unwrap();
        }
        let expected: BTreeSet<String> =
            lines.iter().filter(|(whose, _)| *whose != "none").map(|(_, path)| (*path).to_owned()).collect();
        let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
        let first = reader.ask();
        assert_eq!(reader.believed, expected, "{}", tree.display());
        for found in &first.come {
            assert_eq!(found.place, place(&found.path), "{}", found.path);
        }
        assert!(!first.rescanned && reader.tree.left_out() == 0 && reader.tree.complete);

        let mut all = Reader::open(folder.path(), Wanted::All, NEVER);
        all.ask();
        assert_eq!(all.believed, all.truth(), "{}", tree.display());
    }
}

#[tokio::test]
async fn a_pod_that_comes_and_goes_is_told() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    assert_eq!(strings(&reader.ask()), "");
    // kubelet starts after us: nothing of it was there.
    reader.make(&container(1));
    reader.settle().await;
    assert_eq!(reader.believed.len(), 2);
    reader.make(&container(2));
    reader.remove(&container(1));
    reader.settle().await;
    assert_eq!(reader.believed.iter().cloned().collect::<Vec<_>>(), [pod(1), pod(2), container(2)]);
    reader.remove(&pod(1));
    reader.settle().await;
    assert_eq!(reader.rescans, 0, "notices serve");
}

#[tokio::test]
async fn what_is_made_again_under_its_name_has_gone_and_come() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    reader.make(&container(1));
    reader.settle().await;
    // Both exist at once, so that they cannot have the same inode.
    reader.make(&format!("{}/new", pod(1)));
    reader.remove(&container(1));
    let [new, old] = [format!("{}/new", pod(1)), container(1)].map(|path| folder.path().join(&path[1..]));
    fs::rename(new, old).unwrap();
    let changes = reader.ask();
    assert_eq!(strings(&changes), format!("-{0} +{0}", container(1)));
    assert_eq!(strings(&reader.ask()), "");
}

#[tokio::test]
async fn a_pod_that_is_made_again_is_watched_again() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    reader.make(&pod(1));
    reader.settle().await;
    for _ in 0..20 {
        reader.remove(&pod(1));
        reader.make(&pod(1));
        reader.ask();
        reader.make(&container(1));
        reader.settle().await;
        reader.remove(&container(1));
        reader.settle().await;
    }
    assert_eq!(reader.tree.watches.len(), reader.kernel_watches());
    assert_eq!(reader.rescans, 0, "notices serve");
}

#[test]
fn a_watch_that_ends_is_made_again() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    reader.make(&pod(1));
    reader.ask();
    // As when a directory is removed and another one made that is given the same inode.
    let inotify = reader.tree.watches.descriptor().unwrap();
    let (watch, _) = reader.tree.watches.add(&folder.path().join(&pod(1)[1..]), &pod(1)).unwrap();
    rustix::fs::inotify::remove_watch(&*inotify, watch).unwrap();
    assert_eq!(strings(&reader.ask()), format!("-{0} +{0}", pod(1)));
    reader.make(&container(1));
    assert_eq!(strings(&reader.ask()), format!("+{}", container(1)));
}

#[tokio::test]
async fn a_directory_that_is_renamed_goes_and_comes_with_all_that_is_in_it() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    reader.make(&container(5));
    reader.settle().await;
    for (from, to) in [("kubepods", "akubepods"), ("akubepods", "zkubepods")] {
        fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
        reader.settle().await;
        assert_eq!(reader.believed.len(), 2);
        // Its watches have moved along and tell the new names.
        let pod = folder.path().join(to).join("burstable").join(pod(9).rsplit_once('/').unwrap().1);
        fs::create_dir(&pod).unwrap();
        reader.settle().await;
        fs::remove_dir(pod).unwrap();
        reader.settle().await;
    }
    assert_eq!(reader.tree.watches.len(), reader.kernel_watches());
}

#[tokio::test]
async fn nobody_is_woken_for_nothing() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    timeout(DEADLINE, reader.tree.changed()).await.expect("the first look is due at once");
    reader.make(&pod(1));
    reader.ask();
    assert!(timeout(Duration::from_millis(200), reader.tree.changed()).await.is_err(), "nothing has happened");
    reader.make(&container(1));
    timeout(DEADLINE, reader.tree.changed()).await.expect("a container has come");
    timeout(DEADLINE, reader.tree.changed()).await.expect("and nobody has looked yet");
    assert_eq!(strings(&reader.ask()), format!("+{}", container(1)));
    assert!(timeout(Duration::from_millis(200), reader.tree.changed()).await.is_err(), "all is told");
}

#[test]
fn a_root_that_is_not_there_is_an_error_that_names_it() {
    let open = |unified: Option<&str>| {
        let hierarchies = Hierarchies { unified: unified.map(PathBuf::from), ..Hierarchies::default() };
        Tree::open(&hierarchies, Wanted::All, NEVER).map(drop).unwrap_err().to_string()
    };
    assert!(open(Some("/nowhere/cgroup")).starts_with("cannot look for cgroups in /nowhere/cgroup: "));
    assert!(open(None).starts_with("cannot find cgroups"));
}
