//! Probes and metrics are answered from the first moment on, while modules are still being compiled.

mod support;

use sluicebox_testkit::api_server::ApiServer;
use support::node::slow_to_compile;
use support::{PATIENCE, Place, SLOW, until};

#[tokio::test]
async fn whoever_asks_while_modules_are_compiled_is_told_so() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let rest = format!(
        "compiler: {{deadline: 10m}}\nsources: {{pods: {{}}}}\nmodules: {{slow: {{use: \"{}\", to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n",
        slow_to_compile(&place).display()
    );
    let config = place.configure(&api.url(), &rest);
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    let says = async || program.get("/readyz").await.unwrap();
    until(&program, "it says what it does", async || {
        says().await == (false, "[-] starting: modules are being compiled\n".to_owned())
    })
    .await;
    let (_, page) = program.get("/metrics").await.unwrap();
    for row in ["sluicebox_build_info{", "sluicebox_sink_written_total{sink=\"out\"} 0"] {
        assert!(page.contains(row), "{row}:\n{page}");
    }
    assert!(program.get("/livez").await.unwrap().0);
    program.until_ready(SLOW).await.unwrap();
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
