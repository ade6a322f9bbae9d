//! Directories in place of files: what may be a component in them is followed, under whatever name.

use super::*;

#[tokio::test]
async fn a_component_that_comes_or_goes_in_a_directory_is_reported() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("d")).unwrap();
    scene.follow("d").await;
    fs::write(scene.path("d/a-1.wasm"), "1").unwrap();
    scene.expect_report("d").await;
    fs::write(scene.path("d/a-2.wasm"), "2").unwrap();
    scene.expect_report("d").await;
    fs::remove_file(scene.path("d/a-1.wasm")).unwrap();
    scene.expect_report("d").await;
    fs::rename(scene.path("d/a-2.wasm"), scene.path("d/a-3.wasm")).unwrap();
    scene.expect_report("d").await;
    fs::write(scene.path("d/a-3.wasm.sig"), "signature").unwrap();
    scene.expect_report("d").await;
}

#[tokio::test]
async fn a_component_that_is_rewritten_in_its_directory_is_reported() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("d")).unwrap();
    fs::write(scene.path("d/a.wasm"), "1").unwrap();
    scene.follow("d").await;
    fs::write(scene.path("d/a.wasm"), "22").unwrap();
    scene.expect_report("d").await;
}

/// Only the kernel tells.
#[tokio::test]
async fn a_component_that_is_overwritten_with_as_many_bytes_and_the_same_time_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wasm");
    fs::write(&path, "1").unwrap();
    let mut watch = hinted(NEVER);
    watch.follow(known(&[folder.path()]));
    settle(&mut watch).await;
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"2").unwrap();
    file.set_modified(before).unwrap();
    drop(file);
    expect_report(&mut watch, folder.path()).await;
}

#[tokio::test]
async fn what_is_no_component_in_a_directory_is_not_reported() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("d")).unwrap();
    fs::write(scene.path("d/a.wasm"), "1").unwrap();
    scene.follow("d").await;
    for name in ["README", ".a.wasm.part", "..data", "a.wasm.old"] {
        fs::write(scene.path("d").join(name), "1").unwrap();
        for watch in &mut scene.watches {
            settle(watch).await;
        }
    }
}

/// As the kubelet does it when the file of a `ConfigMap` has another name: first `..data` leads elsewhere, then the links change.
#[tokio::test]
async fn a_config_map_whose_file_has_another_name_is_reported() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("d")).unwrap();
    publish(&scene.path("d"), "..1", "a-1.wasm", "1");
    scene.follow("d").await;
    publish(&scene.path("d"), "..2", "a-2.wasm", "2");
    scene.expect_report("d").await;
    symlink("..data/a-2.wasm", scene.path("d/a-2.wasm")).unwrap();
    fs::remove_file(scene.path("d/a-1.wasm")).unwrap();
    scene.expect_report("d").await;
    // And with the same name.
    publish(&scene.path("d"), "..3", "a-2.wasm", "3");
    scene.expect_report("d").await;
}

#[tokio::test]
async fn a_file_in_whose_place_comes_a_directory_is_followed_as_one() {
    let mut scene = Scene::with_poll(Duration::from_secs(1));
    fs::write(scene.path("a"), "1").unwrap();
    scene.follow("a").await;
    fs::remove_file(scene.path("a")).unwrap();
    fs::create_dir(scene.path("a")).unwrap();
    fs::write(scene.path("a/b.wasm"), "1").unwrap();
    scene.expect_report("a").await;
    fs::write(scene.path("a/b.wasm"), "22").unwrap();
    scene.expect_report("a").await;
}
