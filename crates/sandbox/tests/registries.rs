//! Package managers through the proxy, with whatever registry this machine
//! uses. Reaches the network, so it is run by hand:
//! `cargo test -p sandbox --test registries -- --ignored --nocapture`.

mod support;

use sandbox::{Command, Layer, Network, Spec};
use support::{bed_with, both, sh};

/// What npm is set to on this machine.
fn registry() -> Option<String> {
    let said = std::process::Command::new("npm")
        .args(["config", "get", "registry"])
        .output()
        .ok()?;
    let url = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    url.starts_with("http").then_some(url)
}

/// `host:port` of an address.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("an address");
    let authority = rest.split('/').next().expect("a host");
    let host = authority.rsplit('@').next().expect("a host");
    let port = if scheme == "http" { "80" } else { "443" };
    if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

#[tokio::test]
#[ignore = "reaches the package registry"]
async fn npm_installs_and_again_without_network_from_a_layer() {
    let Some(url) = registry() else {
        eprintln!("SKIPPED: no npm here");
        return;
    };
    let bed = bed_with(|config| {
        config.egress.mirrors.push(host(&url));
        config
            .egress
            .env
            .push(("npm_config_registry".into(), url.clone()));
        config.egress.ca_file = std::env::var_os("NODE_EXTRA_CA_CERTS").map(Into::into);
    })
    .await;
    if !bed.engine.strength().has_network() {
        eprintln!("SKIPPED: no namespaces here");
        return;
    }
    let sandbox = bed
        .sandbox_with(|spec| spec.network = Network::Registries)
        .await;
    let began = std::time::Instant::now();
    let output = sh(&sandbox, "npm init -y >/dev/null && npm install --no-audit --no-fund is-number@7.0.0 && node -p 'require(\"is-number\")(5)'").await;
    assert!(
        output.exit.success() && both(&output).ends_with("true\n"),
        "{}",
        both(&output)
    );
    eprintln!("npm install: {:.2?}", began.elapsed());
    let elsewhere = sh(
        &sandbox,
        "npm view is-number version --registry https://example.com",
    )
    .await;
    assert!(!elsewhere.exit.success(), "{}", both(&elsewhere));
    assert!(
        sandbox
            .keep_layer("node_modules", "deps")
            .await
            .expect("a layer")
    );
    let mut spec = Spec::new("box-2");
    spec.layers.push(Layer {
        name: "deps".into(),
        at: "node_modules".into(),
    });
    let offline = bed.engine.create(spec).await.expect("a sandbox");
    let output = offline
        .run(
            Command::new("node")
                .arg("-p")
                .arg("require('is-number')(5)"),
        )
        .await
        .expect("a run");
    assert_eq!(both(&output), "true\n");
}

#[tokio::test]
#[ignore = "reaches the package registry"]
async fn pip_downloads() {
    let said = std::process::Command::new("/usr/bin/python3")
        .args(["-m", "pip", "config", "get", "global.index-url"])
        .output();
    let url = said
        .ok()
        .and_then(|said| String::from_utf8(said.stdout).ok())
        .unwrap_or_default();
    // Without a word of the machine's owner, the public one that we know.
    let known = sandbox::Egress::default().registries;
    let index = known
        .iter()
        .find(|host| host.starts_with("pypi"))
        .expect("an index");
    let url = match url.trim() {
        "" => format!("https://{index}/simple"),
        url => url.to_owned(),
    };
    let bed = bed_with(|config| {
        config.egress.mirrors.push(host(&url));
        config
            .egress
            .env
            .push(("PIP_INDEX_URL".into(), url.clone()));
        config.egress.ca_file = std::env::var_os("PIP_CERT")
            .or_else(|| std::env::var_os("SSL_CERT_FILE"))
            .map(Into::into);
    })
    .await;
    if !bed.engine.strength().has_network() {
        eprintln!("SKIPPED: no namespaces here");
        return;
    }
    let sandbox = bed
        .sandbox_with(|spec| spec.network = Network::Registries)
        .await;
    if !sh(&sandbox, "python3 -m pip --version")
        .await
        .exit
        .success()
    {
        eprintln!("SKIPPED: no pip for the system's python");
        return;
    }
    let began = std::time::Instant::now();
    let output = sh(
        &sandbox,
        "python3 -m pip download --no-deps --disable-pip-version-check six==1.16.0 && ls six*",
    )
    .await;
    assert!(output.exit.success(), "{}", both(&output));
    eprintln!("pip download: {:.2?}", began.elapsed());
}
