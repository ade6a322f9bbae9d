//! A page of metrics, and what Prometheus' own tool says of it.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use sluicebox_testkit::servers::promtool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An address that nobody listens on.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The page at this address.
pub async fn page(address: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// What `promtool check metrics` says; nothing when all is well.
pub fn complaints(page: &str) -> String {
    let mut tool = Command::new(promtool().unwrap());
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    tool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap()).concat()
}
